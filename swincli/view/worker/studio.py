"""`Studio`: the open model, the codes of pictures that were projected or read, and the pictures of looks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.files.file_hash import model_identity
from swincli.model.files.known_texts import KnownTexts
from swincli.model.files.model_file import Model
from swincli.model.pretrained.sentences import SentenceEncoder, has_sentence_encoder, load_sentence_encoder
from swincli.recipe.attributes import Attribute
from swincli.synthesis.latents.codes import codes_of_latents, codes_of_seeds
from swincli.synthesis.latents.files import Latents
from swincli.synthesis.latents.label_settings import UNKNOWN
from swincli.synthesis.latents.texts import Text, read_texts, require_texts
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sample_set import SampleInfo, describe_seeds, describe_texts
from swincli.view.look import Look
from swincli.view.worker.edits import FoundDirections, apply_edits
from swincli.view.worker.rendering import Renderer

LOSSLESS_SIDE = 256  # larger pictures are shown as JPEG; downloads are always PNG
MOST_CODES = 500
MOST_TEXTS = 200  # whose vectors are kept
EXAMPLES = 50  # training captions that the page suggests


class Studio:
    """A model that draws the pictures of looks.

    Attributes:
        model: The model.
        identity: 12 hexadecimal digits of its file's hash.
        codes: The w+ `[L, latent_dim]` of projected pictures and files, by name, in the order in which they came.
        found: Its directions.
        renderer: Draws single pictures.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.identity = model_identity(model.path)
        self.codes: dict[str, Tensor] = {}
        self.found = FoundDirections(model)
        self._encoder: SentenceEncoder | None = None
        self._texts: dict[str, Text] = {}
        self.renderer = Renderer(model, self.w_plus(Look()))

    def facts(self) -> dict[str, Any]:
        """What the page needs to know of the model."""
        section, classes, attributes = self.model.recipe.model, self.model.classes, self.model.attributes
        return {
            "path": str(self.model.path),
            "name": _name(self.model.path),
            "identity": self.identity,
            "images_seen": self.model.images_seen,
            "size": section.size,
            "levels": section.resolutions,
            "num_ws": section.num_ws,
            "latent_dim": section.latent_dim,
            "classes": list(classes.names) if classes else None,
            "attributes": [_attribute_facts(one) for one in attributes.each] if attributes else [],
            "texts": _text_facts(attributes.texts) if attributes and attributes.texts else None,
            "device": str(self.model.device),
            "tiles": self.renderer.tiles_at_once(),
        }

    def add_code(self, w_plus: Tensor) -> str:
        """Keep a code `[L, latent_dim]` and return its name, the first digits of its hash."""
        values = w_plus.detach().float().cpu().contiguous()
        name = hashlib.sha256(values.numpy().tobytes()).hexdigest()[:12]
        self.codes[name] = values.to(self.model.device)
        while len(self.codes) > MOST_CODES:
            del self.codes[next(iter(self.codes))]
        return name

    def info(self, look: Look) -> SampleInfo:
        """Names and the label of a look's seed, as `swincli sample` has them.

        Raises:
            UsageError: the model has no such class, attribute, value or texts, or several are named.
            ResourceError: the text is no training caption, and the sentence encoder is not installed.
        """
        if look.text is not None:
            return describe_texts(self.model, [look.seed], [self._read_text(look.text)], look.wanted)
        named = describe_seeds(self.model, [look.seed], look.wanted)
        if len(named) > 1:
            raise UsageError(f"{look.of_class or ','.join(look.labels)}: a picture has one class or value")
        return named

    def _read_text(self, text: str) -> Text:
        """A text with its vector, which is found once."""
        if text not in self._texts:
            (self._texts[text],) = read_texts(self.model, [text], "text", self._load_encoder)
            while len(self._texts) > MOST_TEXTS:
                del self._texts[next(iter(self._texts))]
        return self._texts[text]

    def _load_encoder(self) -> SentenceEncoder:
        """The sentence encoder, which stays loaded."""
        if self._encoder is None:
            self._encoder = load_sentence_encoder()
        return self._encoder

    def words_of_text(self, look: Look) -> dict[str, Any] | None:
        """The training captions that are most alike to a look's text, with cosines; None without a text.

        Raises:
            SwincliError: as for `info`.
        """
        if look.text is None:
            return None
        text = self._read_text(look.text)
        return {"nearest": text.nearest, "warning": text.warning}

    @torch.inference_mode()
    def w_plus(self, look: Look) -> Tensor:
        """The code of a look, `[1, L, latent_dim]`.

        Raises:
            UsageError: the look does not fit the model, or its code is gone.
        """
        return apply_edits(self.found, self._mix(look, self._base(look)), look.edits)

    def _base(self, look: Look) -> Tensor:
        truncation = self._truncation(look)
        if look.code is None:
            return codes_of_seeds(self.model, [look.seed], truncation, self.info(look).labels)
        if look.code not in self.codes:
            raise UsageError(
                "this picture's code is not here any more",
                "Codes of photographs live as long as the page's program. Drop the photograph or its .npz file again.",
            )
        return codes_of_latents(self.model, Latents("w_plus", self.codes[look.code][None].cpu()), truncation)

    def _truncation(self, look: Look) -> Truncation:
        if look.guidance != 1.0:
            require_texts(self.model, "guidance")
        return Truncation(look.truncation, guidance=look.guidance)

    def _mix(self, look: Look, base: Tensor) -> Tensor:
        if look.mix_seed is None or not look.shares:
            return base
        levels = len(self.model.recipe.model.resolutions)
        if max(level for level, _ in look.shares) >= levels:
            raise UsageError(f"mix: this model has levels 0-{levels - 1}")
        other = codes_of_seeds(self.model, [look.mix_seed], self._truncation(look), self._label_of_mix(look))
        mixed = base.clone()
        for level, share in look.shares:
            here = slice(2 * level, 2 * level + 2)
            mixed[:, here] = other[:, here] if share == 1 else torch.lerp(base[:, here], other[:, here], share)
        return mixed

    def _label_of_mix(self, look: Look) -> Tensor | None:
        """The class or labels of the second seed: the chosen ones, else drawn by it as for `sample --mix`."""
        assert look.mix_seed is not None
        return self.info(replace(look, seed=look.mix_seed)).labels

    def picture(self, look: Look) -> Tensor:
        """The picture of a look: uint8 `[size, size, 3]`.

        Raises:
            UsageError: as for `w_plus`.
        """
        return self.renderer.draw(self.w_plus(look))

    def tiles(self, look: Look, seeds: Sequence[int]) -> Tensor:
        """Small pictures of seeds with the other settings of a look: uint8 `[N, side, side, 3]`.

        Raises:
            UsageError: as for `w_plus`.
        """
        looks = [replace(look, seed=seed, code=None) for seed in seeds]
        return self.renderer.tiles(torch.cat([self.w_plus(one) for one in looks]))


def in_own_memory(model: Model) -> Model:
    """The model with copies of its weights: those of a file are mapped, and would go when it is overwritten."""
    for tensor in (*model.generator.parameters(), *model.generator.buffers()):
        tensor.data = tensor.data.clone()
    by_class = model.w_mean_by_class
    return replace(model, w_mean=model.w_mean.clone(), w_mean_by_class=None if by_class is None else by_class.clone())


def encode(picture: Tensor) -> tuple[bytes, str]:
    """A picture, uint8 `[H, W, 3]`, for the page: PNG, or JPEG if it is large; and its media type."""
    image, content = Image.fromarray(picture.numpy()), BytesIO()
    if max(picture.shape[:2]) <= LOSSLESS_SIDE:
        image.save(content, "PNG", compress_level=1)
        return content.getvalue(), "image/png"
    image.save(content, "JPEG", quality=92, subsampling=0)
    return content.getvalue(), "image/jpeg"


def _attribute_facts(one: Attribute) -> dict[str, Any]:
    """What the page needs to know of an attribute."""
    named = {"name": one.name, "kind": one.kind.name, "values": list(one.values), "low": one.low, "high": one.high}
    return {**named, "unknown": UNKNOWN if one.missing and UNKNOWN not in one.values else None}


def _text_facts(known: KnownTexts) -> dict[str, Any]:
    """Training captions as examples, and a sentence if only they can be used."""
    remark = 'Only training captions can be used. For other texts: pip install "swincli[text]"'
    return {"examples": list(known.texts[:EXAMPLES]), "remark": None if has_sentence_encoder() else remark}


def _name(path: Path) -> str:
    """A short name: the run and the file, or the file alone."""
    return f"{path.parent.name}/{path.name}" if path.name.startswith("model-") else path.stem

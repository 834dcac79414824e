"""Texts of users: their vectors for a model's networks, and the training captions that are most alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.errors import ResourceError, UsageError
from swincli.model.files.attributes import Attributes
from swincli.model.files.known_texts import KnownTexts
from swincli.model.files.model_file import Model
from swincli.model.pretrained.sentences import SentenceEncoder, load_sentence_encoder

FAR = 0.4  # cosine of the most alike caption below which a model has hardly seen such a text
NEAREST = 3


@dataclass(frozen=True)
class Text:
    """A text for a model.

    Attributes:
        text: The text.
        columns: Its vector as the networks get it, float32 `[C]` on the CPU.
        nearest: The most alike training captions that the model keeps, with their cosines, the highest first.
    """

    text: str
    columns: Tensor
    nearest: list[tuple[str, float]]

    @property
    def is_far(self) -> bool:
        """Whether no training caption is near."""
        return self.nearest[0][1] < FAR

    @property
    def warning(self) -> str | None:
        """A sentence about a text that is far from all captions; None for another one."""
        words = f'"{self.text}" is unlike all training captions; images may have little to do with it'
        return words if self.is_far else None

    @property
    def closest(self) -> str:
        """The most alike captions in words, such as `"a grey cat" 0.81, "a cat" 0.75`."""
        return ", ".join(f'"{text}" {cosine:.2f}' for text, cosine in self.nearest)


def read_texts(
    model: Model,
    texts: Sequence[str],
    option: str = "--text",
    load: Callable[[], SentenceEncoder] | None = None,
) -> list[Text]:
    """The vectors of texts. The sentence encoder is loaded if one of them is no caption that the model keeps.

    Args:
        model: A model of texts.
        texts: The texts.
        option: What the user gave, for errors.
        load: Loads the sentence encoder; None to load it anew.

    Raises:
        UsageError: a text is empty, or the model has no texts.
        ResourceError: the encoder is not installed, or is another one than the model was trained with.
    """
    empty = next((number for number, text in enumerate(texts, start=1) if not text.strip()), None)
    if empty is not None:
        raise UsageError(f"{option}: text {empty} is empty", 'For example --text "a grey cat with a hat"')
    known = require_texts(model, option)[1]
    found = {text: columns for text in texts if (columns := known.find(text)) is not None}
    if unknown := [text for text in dict.fromkeys(texts) if text not in found]:
        encoder = (load or load_sentence_encoder)()
        if encoder.sha256 != known.encoder_sha256:
            hint = "Texts must be encoded as the training captions were."
            raise ResourceError(f"{option}: {model.path} needs the sentence encoder {known.encoder}", hint)
        found |= dict(zip(unknown, known.columns(encoder.encode(unknown)), strict=True))
    return [Text(text, torch.from_numpy(found[text]), known.nearest(found[text], NEAREST)) for text in texts]


def require_texts(model: Model, option: str) -> tuple[Attributes, KnownTexts]:
    """The attributes of a model of texts, and its texts.

    Raises:
        UsageError: the model has no texts.
    """
    if model.attributes is None or model.attributes.texts is None:
        hint = "Train one on a store with captions; see docs/guides/text.md."
        raise UsageError(f"{option}: {model.path} was not trained with texts", hint)
    return model.attributes, model.attributes.texts


def text_name(attributes: Attributes) -> str:
    """Name of the attribute of texts."""
    return next(name for name, kind in attributes.kinds.items() if kind.name == "text")


def without_text(attributes: Attributes, labels: Tensor) -> Tensor:
    """Labels `[B, columns]` with an unknown text."""
    labels = labels.clone()
    labels[:, attributes.places[text_name(attributes)]] = torch.nan
    return labels

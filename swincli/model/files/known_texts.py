"""What a model knows of texts: some training captions with their vectors, their centre, and the encoder."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swincli.ops.text_vectors import centred_unit

MOST_TEXTS = 4096


@dataclass(frozen=True)
class KnownTexts:
    """Training captions of a model.

    Attributes:
        encoder: Name of the sentence encoder.
        encoder_sha256: SHA-256 of its weights.
        centre: Mean vector of all training captions, float32 `[C]`.
        texts: Some of the captions, at most `MOST_TEXTS`: the most frequent ones first.
        vectors: Their sentence vectors, float16 `[N, C]`.
    """

    encoder: str
    encoder_sha256: str
    centre: NDArray[np.float32]
    texts: tuple[str, ...]
    vectors: NDArray[np.float16]

    def __post_init__(self) -> None:
        if self.centre.ndim != 1 or self.vectors.shape != (len(self.texts), len(self.centre)) or not self.texts:
            raise ValueError("the vectors are not those of the captions")

    def columns(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """Sentence vectors as networks get them, float32 `[N, C]`; those of a training caption have its bits."""
        return centred_unit(vectors, self.centre)

    @cached_property
    def _all_columns(self) -> NDArray[np.float32]:
        return self.columns(self.vectors)

    def find(self, text: str) -> NDArray[np.float32] | None:
        """The vector of a caption that is kept, `[C]`; None for another text."""
        return self.columns(self.vectors[[self.texts.index(text)]])[0] if text in self.texts else None

    def nearest(self, columns: NDArray[np.float32], count: int) -> list[tuple[str, float]]:
        """The captions that are most alike to a text, with their cosines, the highest first.

        Args:
            columns: The text, `[C]`, from `columns`.
            count: Number of captions.
        """
        cosines = self._all_columns @ columns
        order = np.argsort(-cosines, kind="stable")[:count]
        return [(self.texts[place], float(cosines[place])) for place in order]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the metadata of a file."""
        return {
            "encoder": self.encoder,
            "encoder_sha256": self.encoder_sha256,
            "centre": _packed(self.centre.astype("<f4").tobytes()),
            "texts": _packed(zlib.compress(json.dumps(self.texts).encode())),
            "vectors": _packed(self.vectors.astype("<f2").tobytes()),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> KnownTexts:
        """What `as_dict` has written. Raises KeyError, TypeError or ValueError if it is damaged."""
        centre = np.frombuffer(_unpacked(plain["centre"]), "<f4").astype(np.float32, copy=False)
        vectors = np.frombuffer(_unpacked(plain["vectors"]), "<f2").astype(np.float16, copy=False)
        try:
            texts = json.loads(zlib.decompress(_unpacked(plain["texts"])))
        except (zlib.error, RecursionError) as error:
            raise ValueError(str(error)) from error
        names = str(plain["encoder"]), str(plain["encoder_sha256"])
        return cls(*names, centre, tuple(map(str, texts)), vectors.reshape(len(texts), -1))


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text, validate=True)

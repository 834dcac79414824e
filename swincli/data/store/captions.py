"""Captions of the images of a store: `captions.safetensors`, with every caption and its sentence vector once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from swincli.data.store.manifest import CaptionFacts
from swincli.data.store.shards import RESTORE_HINT, read_error
from swincli.errors import DataError
from swincli.ops.text_vectors import centred_unit

ATTRIBUTE = "caption"
"""Name of the attribute of captions, as `model.attributes` writes it."""


@dataclass(frozen=True)
class Captions:
    """The captions of images.

    Attributes:
        facts: Encoder and counts.
        texts: Every caption once.
        vectors: Their sentence vectors of length 1, float16 `[texts, width]`.
        centre: Mean of the vectors, of all parts of a split, float32 `[width]`.
        starts: Where the captions of each image begin in `ids`, and the end, int64 `[images + 1]`.
        ids: Indices into `texts`, int64 `[captions of all images]`.
    """

    facts: CaptionFacts
    texts: tuple[str, ...]
    vectors: NDArray[np.float16]
    centre: NDArray[np.float32]
    starts: NDArray[np.int64]
    ids: NDArray[np.int64]

    def of(self, image: int) -> list[str]:
        """The captions of an image."""
        return [self.texts[place] for place in self.ids[self.starts[image] : self.starts[image + 1]]]

    def drawn(self, images: NDArray[np.int64], uniform: NDArray[Any]) -> NDArray[np.int64]:
        """One caption of each image, as an index into `texts`.

        Args:
            images: int64 `[N]`.
            uniform: Random numbers from 0 to below 1, `[N]`.
        """
        counts = self.starts[images + 1] - self.starts[images]
        found: NDArray[np.int64] = self.ids[
            self.starts[images] + np.minimum((uniform * counts).astype(int), counts - 1)
        ]
        return found

    def columns(self, texts: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Vectors of captions as networks get them, float32 `[N, width]`."""
        return centred_unit(self.vectors[texts], self.centre)

    def take(self, images: Sequence[int] | NDArray[np.int64]) -> Self:
        """The captions of some of the images. The centre stays that of all."""
        rows = [self.ids[self.starts[image] : self.starts[image + 1]] for image in images]
        all_ids = np.concatenate(rows)
        used, ids = np.unique(all_ids, return_inverse=True)
        return replace(
            self,
            facts=self.facts.model_copy(update={"texts": len(used)}),
            texts=tuple(self.texts[place] for place in used),
            vectors=self.vectors[used],
            starts=np.cumsum([0, *map(len, rows)]).astype(np.int64),
            ids=ids.astype(np.int64),
        )

    def hashed(self) -> bytes:
        """What the content hash of a store takes: all captions and the encoder.

        The vectors follow from these. Their last bits depend on the machine, so they have a hash of their own.
        """
        plain = [self.facts.encoder_sha256, list(self.texts), self.starts.tolist(), self.ids.tolist()]
        return b"captions " + json.dumps(plain, ensure_ascii=False).encode("utf-8", "surrogatepass")

    def stored(self) -> bytes:
        """The content of captions.safetensors."""
        texts = np.frombuffer(json.dumps(self.texts, ensure_ascii=False).encode("utf-8", "surrogatepass"), np.uint8)
        arrays: dict[str, NDArray[Any]] = {"texts": texts, "vectors": self.vectors, "centre": self.centre}
        return safetensors.numpy.save(arrays | {"starts": self.starts, "ids": self.ids})


def make_captions(
    of_images: Sequence[Sequence[str]], vectors: dict[str, NDArray[np.float32]], encoder: str, encoder_sha256: str
) -> Captions:
    """Captions from the texts of each image, in the order of the images, and the vector of each text."""
    places: dict[str, int] = {}
    ids = [places.setdefault(text, len(places)) for texts in of_images for text in texts]
    rows = np.stack([vectors[text] for text in places])
    return Captions(
        CaptionFacts(encoder=encoder, encoder_sha256=encoder_sha256, texts=len(places), width=rows.shape[1]),
        tuple(places),
        rows.astype(np.float16),
        rows.astype(np.float16).astype(np.float64).mean(axis=0).astype(np.float32),
        np.cumsum([0, *map(len, of_images)]).astype(np.int64),
        np.array(ids, np.int64),
    )


def read_captions(path: Path, facts: CaptionFacts, images: int) -> Captions:
    """Read `captions.safetensors`.

    Raises:
        DataError: it is missing, cut short, or holds other arrays than the manifest says.
        ResourceError: the system cannot read it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise read_error(path, error) from error
    try:
        arrays = safetensors.numpy.load(data)
        texts = json.loads(arrays["texts"].tobytes().decode("utf-8", "surrogatepass"))
        found = Captions(
            facts,
            tuple(map(str, texts)),
            _shaped(arrays["vectors"], np.float16, (facts.texts, facts.width)),
            _shaped(arrays["centre"], np.float32, (facts.width,)),
            _shaped(arrays["starts"], np.int64, (images + 1,)),
            _shaped(arrays["ids"], np.int64, (int(arrays["starts"][-1]),)),
        )
    except (safetensors.SafetensorError, KeyError, IndexError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}", RESTORE_HINT) from error
    whole = len(found.texts) == facts.texts and found.starts[0] == 0 and bool((np.diff(found.starts) > 0).all())
    if not whole or found.ids.min() < 0 or found.ids.max() >= facts.texts or not np.isfinite(found.vectors).all():
        raise DataError(f"{path} is damaged: its captions are not those of {images:,} images", RESTORE_HINT)
    return found


def _shaped(array: NDArray[Any], kind: type, shape: tuple[int, ...]) -> NDArray[Any]:
    if array.dtype != kind or array.shape != shape:
        raise ValueError(f"an array of {array.dtype} {list(array.shape)} in place of {list(shape)}")
    return array

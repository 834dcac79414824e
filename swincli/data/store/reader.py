"""Reader of a store: labels, and batches of images from its shards."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.attribute_values import AttributeValues, read_attributes
from swincli.data.store.captions import Captions, read_captions
from swincli.data.store.manifest import (
    ATTRIBUTES_FILE,
    CAPTIONS_FILE,
    CHANNELS,
    LABELS_FILE,
    Manifest,
    is_store,
    read_manifest,
)
from swincli.data.store.npy_header import HEADER_BYTES
from swincli.data.store.shards import RESTORE_HINT, EncodedShards, RawShards, Rows, Shards, check_npy
from swincli.errors import DataError

__all__ = ["Store", "is_store"]


class Store:
    """A store on the disk. Opening it reads headers and labels; `fetch` reads pixels.

    No file stays open between calls. Any thread or process may call `fetch`. It returns a complete batch or raises.

    Attributes:
        path: The folder.
        manifest: The manifest.
        labels: int64 [images], indices into `manifest.label_names`; None without labels.
        attributes: The attributes of the images; None without any.
        captions: The captions of the images; None without captions.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        shards: Shards,
        labels: NDArray[np.int64] | None,
        attributes: AttributeValues | None = None,
        captions: Captions | None = None,
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.labels = labels
        self.attributes = attributes
        self.captions = captions
        self._shards = shards
        self._starts = np.cumsum([0, *(shard.images for shard in manifest.shards[:-1])])

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a store. Check that its files exist and have the right length and shape.

        Raises:
            DataError: The folder is no store, or a file is missing, cut short or of another shape.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        encoding = manifest.encoding
        shards = RawShards(folder, manifest) if encoding == "raw" else EncodedShards(folder, manifest, encoding)
        labels = None
        if manifest.label_names is not None:
            check_npy(folder / LABELS_FILE, (manifest.images,), "<i8")
            labels = np.fromfile(folder / LABELS_FILE, "<i8", offset=HEADER_BYTES).astype(np.int64, copy=False)
            if labels.min() < 0 or labels.max() >= len(manifest.label_names):
                raise DataError(f"{folder / LABELS_FILE} is damaged: a label without a name", RESTORE_HINT)
        each = manifest.attribute_list()
        attributes = read_attributes(folder / ATTRIBUTES_FILE, each, manifest.images) if each else None
        facts = manifest.captions
        captions = read_captions(folder / CAPTIONS_FILE, facts, manifest.images) if facts is not None else None
        return cls(folder, manifest, shards, labels, attributes, captions)

    def __len__(self) -> int:
        return self.manifest.images

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.manifest.resolution

    @property
    def content_hash(self) -> str:
        """SHA-256 of all pixels, labels and attributes."""
        return self.manifest.content_hash

    def fetch(self, indices: NDArray[np.int64], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Read images by index. Each shard with one of the images is opened once.

        Args:
            indices: int64 [N], each from 0 to len(self) - 1. They may repeat.
            out: Receives the images: uint8 [N, H, W, C], contiguous. None for a new array.

        Returns:
            uint8 [N, H, W, C], in the order of the indices: `out`, or a new array.

        Raises:
            IndexError: An index is outside the store, or the indices are not a list of integers.
            DataError: A shard is missing, damaged, or its length has changed.
            ResourceError: The system cannot read a shard.
        """
        indices = np.asarray(indices)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise IndexError(f"indices must be a list of integers, not {indices.dtype} of shape {indices.shape}")
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"index out of range: {self.path} has images 0 to {len(self) - 1}")
        indices = indices.astype(np.int64, copy=False)
        shape = (len(indices), self.resolution, self.resolution, CHANNELS)
        batch = np.empty(shape, np.uint8) if out is None else out
        assert batch.shape == shape
        assert batch.flags.c_contiguous
        owners = np.searchsorted(self._starts, indices, side="right") - 1
        rows: dict[int, Rows] = {}
        for owner in np.unique(owners).tolist():
            places = np.flatnonzero(owners == owner)
            inside = indices[places] - self._starts[owner]
            rows[owner] = list(zip(inside.tolist(), places.tolist(), strict=True))
        self._shards.read(rows, batch)
        return batch

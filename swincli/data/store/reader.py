"""Reading a store: batches gathered from its shards."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.manifest import CHANNELS, LABELS_FILE, Manifest, is_store, read_manifest
from swincli.data.store.raw_writer import HEADER_BYTES
from swincli.data.store.shards import AGAIN, EncodedShards, RawShards, Shards, check_npy
from swincli.errors import DataError

__all__ = ["Store", "is_store"]


class Store:
    """A store on the disk. Opening reads headers and labels; pixels are read as they are asked for.

    No file stays open: whichever process or thread fetches, and whatever becomes of the disk, a batch is whole or an
    error.

    Attributes:
        path: Its folder.
        manifest: What it says about itself.
        labels: int64 [images], indices into `manifest.label_names`; None without labels.
    """

    def __init__(self, path: Path, manifest: Manifest, shards: Shards, labels: NDArray[np.int64] | None) -> None:
        self.path = path
        self.manifest = manifest
        self.labels = labels
        self._shards = shards
        self._starts = np.cumsum([0, *(shard.images for shard in manifest.shards[:-1])])

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a store and check that its files are there, whole and of the right shape.

        Raises:
            DataError: no store, a file missing or cut short, or of another shape; names the file.
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
                raise DataError(f"{folder / LABELS_FILE} is damaged: a label without a name", AGAIN)
        return cls(folder, manifest, shards, labels)

    def __len__(self) -> int:
        return self.manifest.images

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.manifest.resolution

    @property
    def content_hash(self) -> str:
        """SHA-256 of all pixels and labels."""
        return self.manifest.content_hash

    def fetch(self, indices: NDArray[np.int64], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Gather images in the order asked for, opening each shard that holds one once; indices may repeat.

        Args:
            indices: [N], each from 0 to len(self) - 1.
            out: Takes them, contiguous and [N, H, W, C]; a new array where left out.

        Returns:
            [N, H, W, C], a copy.

        Raises:
            IndexError: an index outside the store, or not a list of whole numbers.
            DataError: a shard has vanished, has another length than when the store was made, or is damaged.
            ResourceError: the system cannot read it.
        """
        indices = np.asarray(indices)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise IndexError(f"a list of whole numbers is needed, not {indices.dtype} of shape {indices.shape}")
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"an index lies outside 0 to {len(self) - 1}, the images of {self.path}")
        indices = indices.astype(np.int64, copy=False)
        shape = (len(indices), self.resolution, self.resolution, CHANNELS)
        batch = np.empty(shape, np.uint8) if out is None else out
        assert batch.shape == shape
        assert batch.flags.c_contiguous
        owners = np.searchsorted(self._starts, indices, side="right") - 1
        for owner in np.unique(owners).tolist():
            places = np.flatnonzero(owners == owner)
            inside = indices[places] - self._starts[owner]
            self._shards.read(owner, zip(inside.tolist(), places.tolist(), strict=True), batch)
        return batch

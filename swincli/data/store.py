"""Reading a store: memory-mapped shards, and batches gathered from them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from swincli.data.manifest import CHANNELS, LABELS_FILE, Manifest, is_store, read_manifest
from swincli.data.writing import HEADER_BYTES, npy_header
from swincli.errors import DataError, from_os_error

__all__ = ["Store", "is_store"]

Scalar = TypeVar("Scalar", np.uint8, np.int64)

_AGAIN = "Copy it again, or prepare it again with --force; `swincli prepare-data --verify` checks every byte."


class Store:
    """A store on the disk. Opening reads headers only; pixels are read from the disk as they are asked for.

    Attributes:
        path: Its folder.
        manifest: What it says about itself.
        labels: int64 [images], indices into `manifest.label_names`; None without labels.
    """

    def __init__(
        self, path: Path, manifest: Manifest, shards: list[NDArray[np.uint8]], labels: NDArray[np.int64] | None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.labels = labels
        self._shards = shards
        self._starts = np.cumsum([0, *(len(shard) for shard in shards[:-1])])

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a store and check that its files are there, whole and of the right shape.

        Raises:
            DataError: no store, a file missing or cut short, or of another shape; names the file.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        side = manifest.resolution
        shards = [
            _map(folder / shard.file, (shard.images, side, side, CHANNELS), np.uint8) for shard in manifest.shards
        ]
        labels = None
        if manifest.label_names is not None:
            labels = np.array(_map(folder / LABELS_FILE, (manifest.images,), np.int64))
            if labels.min() < 0 or labels.max() >= len(manifest.label_names):
                raise DataError(f"{folder / LABELS_FILE} is damaged: a label without a name", _AGAIN)
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

    def fetch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Gather images in the order asked for, with one gather a shard; indices may repeat.

        Args:
            indices: [N], each from 0 to len(self) - 1.

        Returns:
            [N, H, W, C], a copy.

        Raises:
            IndexError: an index outside the store, or not a list of whole numbers.
        """
        indices = np.asarray(indices)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise IndexError(f"a list of whole numbers is needed, not {indices.dtype} of shape {indices.shape}")
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"an index lies outside 0 to {len(self) - 1}, the images of {self.path}")
        indices = indices.astype(np.int64, copy=False)
        if len(self._shards) == 1:
            return self._shards[0][indices]
        batch = np.empty((len(indices), *self._shards[0].shape[1:]), np.uint8)
        owners = np.searchsorted(self._starts, indices, side="right") - 1
        for owner in np.unique(owners):
            positions = np.flatnonzero(owners == owner)
            batch[positions] = self._shards[owner][indices[positions] - self._starts[owner]]
        return batch


def _map(path: Path, shape: tuple[int, ...], dtype: type[Scalar]) -> NDArray[Scalar]:
    """Map a .npy file after checking its header and length against the manifest."""
    header = npy_header(np.dtype(dtype).newbyteorder("<").str, shape)
    wanted = HEADER_BYTES + math.prod(shape) * np.dtype(dtype).itemsize
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            found = file.read(HEADER_BYTES)
    except FileNotFoundError:
        raise DataError(f"{path} is missing", _AGAIN) from None
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    if size != wanted:
        raise DataError(f"{path} is damaged: {size:,} bytes instead of {wanted:,}", _AGAIN)
    if found != header:
        raise DataError(f"{path} is damaged: its header is not that of {np.dtype(dtype)} {shape}", _AGAIN)
    return np.memmap(path, dtype, "r", HEADER_BYTES, shape).view(np.ndarray)

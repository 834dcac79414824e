"""Reading a store: batches gathered from its shards.

Shards are read, and not memory-mapped: what a map answers with a bus error that ends the process (a file cut short, a
disk or a network share that fails) is an ordinary error here. It is no slower.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from swincli.data.manifest import CHANNELS, LABELS_FILE, Manifest, is_store, read_manifest
from swincli.data.writing import HEADER_BYTES, npy_header
from swincli.errors import DataError, SwincliError, from_os_error

__all__ = ["Store", "is_store"]

_AGAIN = "Copy it again, or prepare it again with --force; `swincli prepare-data --verify` checks every byte."


class Store:
    """A store on the disk. Opening reads headers and labels; pixels are read as they are asked for.

    No file stays open: whichever process or thread fetches, and whatever becomes of the disk, a batch is whole or an
    error.

    Attributes:
        path: Its folder.
        manifest: What it says about itself.
        labels: int64 [images], indices into `manifest.label_names`; None without labels.
    """

    def __init__(self, path: Path, manifest: Manifest, labels: NDArray[np.int64] | None) -> None:
        self.path = path
        self.manifest = manifest
        self.labels = labels
        self._starts = np.cumsum([0, *(shard.images for shard in manifest.shards[:-1])])

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a store and check that its files are there, whole and of the right shape.

        Raises:
            DataError: no store, a file missing or cut short, or of another shape; names the file.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        side = manifest.resolution
        for shard in manifest.shards:
            _check(folder / shard.file, (shard.images, side, side, CHANNELS), "|u1")
        labels = None
        if manifest.label_names is not None:
            _check(folder / LABELS_FILE, (manifest.images,), "<i8")
            labels = np.fromfile(folder / LABELS_FILE, "<i8", offset=HEADER_BYTES).astype(np.int64, copy=False)
            if labels.min() < 0 or labels.max() >= len(manifest.label_names):
                raise DataError(f"{folder / LABELS_FILE} is damaged: a label without a name", _AGAIN)
        return cls(folder, manifest, labels)

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
        """Gather images in the order asked for, opening each shard that holds one once; indices may repeat.

        Args:
            indices: [N], each from 0 to len(self) - 1.

        Returns:
            [N, H, W, C], a copy.

        Raises:
            IndexError: an index outside the store, or not a list of whole numbers.
            DataError: a shard has vanished, or has another length than when the store was made.
            ResourceError: the system cannot read it.
        """
        indices = np.asarray(indices)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise IndexError(f"a list of whole numbers is needed, not {indices.dtype} of shape {indices.shape}")
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"an index lies outside 0 to {len(self) - 1}, the images of {self.path}")
        indices = indices.astype(np.int64, copy=False)
        batch = np.empty((len(indices), self.resolution, self.resolution, CHANNELS), np.uint8)
        owners = np.searchsorted(self._starts, indices, side="right") - 1
        for owner in np.unique(owners).tolist():
            positions = np.flatnonzero(owners == owner).tolist()
            inside = (indices[positions] - self._starts[owner]).tolist()
            self._read(owner, inside, (batch[position] for position in positions))
        return batch

    def _read(self, owner: int, inside: list[int], rows: Iterable[NDArray[np.uint8]]) -> None:
        """Fill rows, [H, W, C] each, with images of one shard, by their places in it."""
        shard, each = self.manifest.shards[owner], self.resolution**2 * CHANNELS
        path = self.path / shard.file
        try:
            with path.open("rb") as file:
                _check_length(path, os.fstat(file.fileno()).st_size, HEADER_BYTES + shard.images * each)
                for index, row in zip(inside, rows, strict=True):
                    start = HEADER_BYTES + index * each
                    file.seek(start)
                    _check_length(path, start + file.readinto(row.data), start + each)
        except OSError as error:
            raise _unreadable(path, error) from error


def _check(path: Path, shape: tuple[int, ...], descr: str) -> None:
    """Compare a .npy file's length and header with what the manifest promises."""
    header = npy_header(descr, shape)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            found = file.read(HEADER_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    _check_length(path, size, HEADER_BYTES + math.prod(shape) * np.dtype(descr).itemsize)
    if found != header:
        raise DataError(f"{path} is damaged: its header is not that of {np.dtype(descr)} {shape}", _AGAIN)


def _check_length(path: Path, size: int, wanted: int) -> None:
    if size != wanted:
        raise DataError(f"{path} is damaged: {size:,} bytes instead of {wanted:,}", _AGAIN)


def _unreadable(path: Path, error: OSError) -> SwincliError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} is missing", _AGAIN)
    return from_os_error(error, f"reading {path}")

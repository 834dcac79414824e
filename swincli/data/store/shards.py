"""Readers of a store's shards, raw and encoded.

Shards are read, not memory-mapped. If a mapped file is cut short, or its disk or network share fails, a bus error ends
the process; a failed read is an ordinary exception. Reading is as fast as a memory map: both copy from the page cache.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.codecs import Lossless, decode_into
from swincli.data.store.manifest import CHANNELS, LENGTHS_FILE, Manifest
from swincli.data.store.npy_header import HEADER_BYTES, npy_header
from swincli.errors import DataError, SwincliError, from_os_error
from swincli.system.resources import usable_cores

Rows = list[tuple[int, int]]
"""Pairs of an index into a shard and an index into a batch."""

RESTORE_HINT = (
    "Copy the store again, or prepare it again with --force. `swincli prepare-data --verify` checks every byte."
)


class Shards(Protocol):
    """Reader of the images in a store's shards."""

    def read(self, rows: Mapping[int, Rows], batch: NDArray[np.uint8]) -> None:
        """Read images into a batch.

        Args:
            rows: By the number of a shard, pairs of an index into the shard and an index into the batch.
            batch: Receives the images: uint8 [N, H, W, C], contiguous.

        Raises:
            DataError: A shard is missing, damaged, or its length has changed.
            ResourceError: The system cannot read it.
        """
        ...


class RawShards:
    """Reader of raw shards: .npy files of uint8 [images, H, W, C]. Opening checks headers and lengths."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._shape = (manifest.resolution, manifest.resolution, CHANNELS)
        self._each = math.prod(self._shape)
        self._paths = [folder / shard.file for shard in manifest.shards]
        self._sizes = [HEADER_BYTES + shard.images * self._each for shard in manifest.shards]
        for path, shard in zip(self._paths, manifest.shards, strict=True):
            check_npy(path, (shard.images, *self._shape), "|u1")

    def read(self, rows: Mapping[int, Rows], batch: NDArray[np.uint8]) -> None:
        """See `Shards.read`."""
        each, into = self._each, batch.reshape(-1).data
        for number, pairs in rows.items():
            path = self._paths[number]
            with _open_shard(path, self._sizes[number]) as file:
                for index, place in pairs:
                    _fill_from(path, file, HEADER_BYTES + index * each, into[place * each : (place + 1) * each])


class EncodedShards:
    """Reader of encoded shards: lossless image files one after the other, with their sizes in lengths.npy."""

    def __init__(self, folder: Path, manifest: Manifest, encoding: Lossless) -> None:
        self._encoding = encoding
        self._paths = [folder / shard.file for shard in manifest.shards]
        check_npy(folder / LENGTHS_FILE, (manifest.images,), "<i8")
        lengths = np.fromfile(folder / LENGTHS_FILE, "<i8", offset=HEADER_BYTES)
        if lengths.min() < 1:
            raise DataError(f"{folder / LENGTHS_FILE} is damaged: an image of 0 bytes", RESTORE_HINT)
        ends = np.cumsum([shard.images for shard in manifest.shards])
        self._bounds = [np.cumsum([0, *part]) for part in np.split(lengths, ends[:-1])]
        for path, bounds in zip(self._paths, self._bounds, strict=True):
            try:
                check_length(path, path.stat().st_size, int(bounds[-1]))
            except OSError as error:
                raise read_error(path, error) from error

    def read(self, rows: Mapping[int, Rows], batch: NDArray[np.uint8]) -> None:
        """See `Shards.read`. Threads decode the images of all shards together: Pillow's decoders release the GIL."""
        images = sum(map(len, rows.values()))
        with ThreadPoolExecutor(min(usable_cores(), max(1, images))) as pool:
            tasks = [
                pool.submit(self._decode, data, number, index, batch[place])
                for number, pairs in rows.items()
                for data, index, place in self._read_files(number, pairs)
            ]
            for task in tasks:
                task.result()

    def _read_files(self, number: int, pairs: Rows) -> Iterator[tuple[bytes, int, int]]:
        """The files of some images of a shard, each with its index into the shard and the batch."""
        path, bounds = self._paths[number], self._bounds[number]
        with _open_shard(path, int(bounds[-1])) as file:
            for index, place in pairs:
                data = bytearray(int(bounds[index + 1] - bounds[index]))
                _fill_from(path, file, int(bounds[index]), memoryview(data))
                yield bytes(data), index, place

    def _decode(self, data: bytes, number: int, index: int, out: NDArray[np.uint8]) -> None:
        try:
            decode_into(data, self._encoding, out)
        except ValueError as error:
            message = f"{self._paths[number]} is damaged: image {index} of it cannot be decoded: {error}"
            raise DataError(message, RESTORE_HINT) from error


@contextmanager
def _open_shard(path: Path, size: int) -> Iterator[FileIO]:
    """Open a shard of a known size in bytes.

    Raises:
        DataError: It is missing, or has another size.
        ResourceError: The system cannot read it.
    """
    try:
        with path.open("rb", buffering=0) as file:
            check_length(path, os.fstat(file.fileno()).st_size, size)
            yield file
    except OSError as error:
        raise read_error(path, error) from error


def check_npy(path: Path, shape: tuple[int, ...], descr: str) -> None:
    """Check the length and the header of a .npy file.

    Args:
        path: The file.
        shape: Expected shape.
        descr: Expected type, as numpy's type string.

    Raises:
        DataError: They differ, or the file is missing.
        ResourceError: The system cannot read it.
    """
    header = npy_header(descr, shape)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            found = file.read(HEADER_BYTES)
    except OSError as error:
        raise read_error(path, error) from error
    check_length(path, size, HEADER_BYTES + math.prod(shape) * np.dtype(descr).itemsize)
    if found != header:
        raise DataError(f"{path} is damaged: its header is not that of {np.dtype(descr)} {shape}", RESTORE_HINT)


def check_length(path: Path, size: int, expected: int) -> None:
    """Raise DataError if the size of a file in bytes is not as expected."""
    if size != expected:
        raise DataError(f"{path} is damaged: {size:,} bytes instead of {expected:,}", RESTORE_HINT)


def read_error(path: Path, error: OSError) -> SwincliError:
    """Turn an OSError of reading a file of a store into a DataError (missing) or a ResourceError."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} is missing", RESTORE_HINT)
    return from_os_error(error, f"reading {path}")


def _fill_from(path: Path, file: FileIO, start: int, into: memoryview) -> None:
    """Fill a buffer from an offset in a file. The system may return fewer bytes per call than requested."""
    file.seek(start)
    done = file.readinto(into)
    while done < len(into):
        count = file.readinto(into[done:])
        if not count:
            raise DataError(f"{path} is damaged: {start + done:,} bytes instead of {start + len(into):,}", RESTORE_HINT)
        done += count

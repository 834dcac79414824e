"""Reading images out of a store's shards, raw or encoded, by their places.

Shards are read, and not memory-mapped: what a map answers with a bus error that ends the process (a file cut short, a
disk or a network share that fails) is an ordinary error here. Reading copies as fast as memory does, as a map would.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.codecs import Lossless, decode_into
from swincli.data.store.manifest import CHANNELS, LENGTHS_FILE, Manifest
from swincli.data.store.raw_writer import HEADER_BYTES, npy_header
from swincli.errors import DataError, SwincliError, from_os_error
from swincli.system.resources import usable_cores

Rows = Iterable[tuple[int, int]]
"""Which image of a shard goes to which place of a batch."""

AGAIN = "Copy it again, or prepare it again with --force; `swincli prepare-data --verify` checks every byte."


class Shards(Protocol):
    """How the images of a store lie in its files."""

    def read(self, number: int, rows: Rows, batch: NDArray[np.uint8]) -> None:
        """Read images of one shard to their places in a batch.

        Args:
            number: Of the shard.
            rows: Indices into the shard, each with an index into the batch.
            batch: Contiguous, [N, H, W, C].

        Raises:
            DataError: the shard has vanished, has another length than when the store was made, or is damaged.
            ResourceError: the system cannot read it.
        """
        ...


class RawShards:
    """Images one after the other behind the header of a .npy file; opening checks headers and lengths."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._shape = (manifest.resolution, manifest.resolution, CHANNELS)
        self._each = math.prod(self._shape)
        self._paths = [folder / shard.file for shard in manifest.shards]
        self._sizes = [HEADER_BYTES + shard.images * self._each for shard in manifest.shards]
        for path, shard in zip(self._paths, manifest.shards, strict=True):
            check_npy(path, (shard.images, *self._shape), "|u1")

    def read(self, number: int, rows: Rows, batch: NDArray[np.uint8]) -> None:
        """See `Shards.read`."""
        path, each, into = self._paths[number], self._each, batch.reshape(-1).data
        try:
            with path.open("rb", buffering=0) as file:
                check_length(path, os.fstat(file.fileno()).st_size, self._sizes[number])
                for index, place in rows:
                    _read_at(path, file, HEADER_BYTES + index * each, into[place * each : (place + 1) * each])
        except OSError as error:
            raise unreadable(path, error) from error


class EncodedShards:
    """Lossless image files one after the other; lengths.npy has the bytes of each. Threads decode them."""

    def __init__(self, folder: Path, manifest: Manifest, encoding: Lossless) -> None:
        self._encoding = encoding
        self._paths = [folder / shard.file for shard in manifest.shards]
        check_npy(folder / LENGTHS_FILE, (manifest.images,), "<i8")
        lengths = np.fromfile(folder / LENGTHS_FILE, "<i8", offset=HEADER_BYTES)
        if lengths.min() < 1:
            raise DataError(f"{folder / LENGTHS_FILE} is damaged: an image without a byte", AGAIN)
        ends = np.cumsum([shard.images for shard in manifest.shards])
        self._bounds = [np.cumsum([0, *part]) for part in np.split(lengths, ends[:-1])]
        for path, bounds in zip(self._paths, self._bounds, strict=True):
            try:
                check_length(path, path.stat().st_size, int(bounds[-1]))
            except OSError as error:
                raise unreadable(path, error) from error

    def read(self, number: int, rows: Rows, batch: NDArray[np.uint8]) -> None:
        """See `Shards.read`. The decoders let other threads work meanwhile."""
        path, bounds = self._paths[number], self._bounds[number]

        def decode(data: bytearray, index: int, place: int) -> None:
            try:
                decode_into(bytes(data), self._encoding, batch[place])
            except ValueError as error:
                raise DataError(f"{path} is damaged: image {index} of it cannot be decoded: {error}", AGAIN) from error

        try:
            with path.open("rb", buffering=0) as file, ThreadPoolExecutor(usable_cores()) as pool:
                check_length(path, os.fstat(file.fileno()).st_size, int(bounds[-1]))
                tasks = []
                for index, place in rows:
                    data = bytearray(int(bounds[index + 1] - bounds[index]))
                    _read_at(path, file, int(bounds[index]), memoryview(data))
                    tasks.append(pool.submit(decode, data, index, place))
                for task in tasks:
                    task.result()
        except OSError as error:
            raise unreadable(path, error) from error


def check_npy(path: Path, shape: tuple[int, ...], descr: str) -> None:
    """Compare a .npy file's length and header with what the manifest promises.

    Raises:
        DataError: they differ, or the file is missing.
        ResourceError: the system cannot read it.
    """
    header = npy_header(descr, shape)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            found = file.read(HEADER_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    check_length(path, size, HEADER_BYTES + math.prod(shape) * np.dtype(descr).itemsize)
    if found != header:
        raise DataError(f"{path} is damaged: its header is not that of {np.dtype(descr)} {shape}", AGAIN)


def check_length(path: Path, size: int, wanted: int) -> None:
    """Refuse a file of another length than it was made with."""
    if size != wanted:
        raise DataError(f"{path} is damaged: {size:,} bytes instead of {wanted:,}", AGAIN)


def unreadable(path: Path, error: OSError) -> SwincliError:
    """The system's refusal to read a part of a store, in words."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} is missing", AGAIN)
    return from_os_error(error, f"reading {path}")


def _read_at(path: Path, file: FileIO, start: int, into: memoryview) -> None:
    """Fill a buffer from a place in a file; the system may hand it over in several parts."""
    file.seek(start)
    done = file.readinto(into)
    while done < len(into):
        count = file.readinto(into[done:])
        if not count:
            raise DataError(f"{path} is damaged: {start + done:,} bytes instead of {start + len(into):,}", AGAIN)
        done += count

"""Writing a store image by image: shards with headers of a fixed length, hashed on the way to the disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.manifest import CHANNELS, LABELS_FILE, MANIFEST_FILE, Manifest, Shard, shard_file

SHARD_BYTES = 2**31
HEADER_BYTES = 128
_CHUNK = 2**20


def npy_header(descr: str, shape: tuple[int, ...]) -> bytes:
    """Header of a .npy file as numpy writes it, but in every version of numpy the same 128 bytes, easily rewritten.

    Args:
        descr: numpy's description of the type, such as "|u1" or "<i8".
        shape: Shape of the array, in C order.
    """
    magic = b"\x93NUMPY\x01\x00"
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    length = HEADER_BYTES - len(magic) - 2
    return magic + length.to_bytes(2, "little") + text.ljust(length - 1).encode("ascii") + b"\n"


class ContentHash:
    """SHA-256 over pixels and labels that does not see how they are spread over files."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, pixels: bytes | memoryview) -> None:
        """Take in the next pixels."""
        self._hash.update(pixels)

    def finish(self, images: int, resolution: int, labels: bytes | None) -> str:
        """Take in the shape, and the labels as little-endian int64; return the hash."""
        shape = f"{images}x{resolution}x{resolution}x{CHANNELS}"
        self._hash.update(f"{shape} {'unlabelled' if labels is None else 'labelled'}".encode())
        self._hash.update(labels or b"")
        return self._hash.hexdigest()


class StoreWriter:
    """Writes a store's files into a folder; leaving the `with` block closes whatever is open.

    Args:
        folder: An empty folder.
        resolution: Side of the images.
        shard_bytes: The largest size of a shard.
    """

    def __init__(self, folder: Path, resolution: int, shard_bytes: int = SHARD_BYTES) -> None:
        self._folder = folder
        self._shape = (resolution, resolution, CHANNELS)
        self._capacity = max(1, (shard_bytes - HEADER_BYTES) // (resolution * resolution * CHANNELS))
        self._content = ContentHash()
        self._shards: list[Shard] = []
        self._file: BinaryIO | None = None
        self._file_hash = hashlib.sha256()
        self._in_file = 0
        self.images = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, pixels: NDArray[np.uint8], encoded: bytes | None = None) -> None:  # noqa: ARG002 - others need it
        """Append one image; see `writers.Writer`."""
        assert pixels.shape == self._shape
        assert pixels.dtype == np.uint8
        if self._file is None:
            header = npy_header("|u1", (self._capacity, *self._shape))  # as if it were full; `_finish_shard` corrects
            self._file = (self._folder / shard_file(len(self._shards))).open("w+b")
            self._file.write(header)
            self._file_hash = hashlib.sha256(header)
        data = pixels.tobytes()
        self._file.write(data)
        self._file_hash.update(data)
        self._content.update(data)
        self._in_file += 1
        self.images += 1
        if self._in_file == self._capacity:
            self._finish_shard(self._file)

    def finish(self, labels: NDArray[np.int64] | None) -> tuple[list[Shard], str, str | None]:
        """Write what is left and the labels; return the shards, the content hash and the labels' SHA-256."""
        if self._file is not None:
            self._finish_shard(self._file)
        assert labels is None or labels.shape == (self.images,)
        values, labels_sha256 = (None, None) if labels is None else write_labels(self._folder, labels)
        return self._shards, self._content.finish(self.images, self._shape[0], values), labels_sha256

    def describe(self, labels: NDArray[np.int64] | None, about: Mapping[str, Any]) -> Manifest:
        """Finish, and write the manifest last of all; see `writers.Writer`."""
        shards, content_hash, labels_sha256 = self.finish(labels)
        manifest = Manifest(
            images=self.images,
            resolution=self._shape[0],
            shards=shards,
            content_hash=content_hash,
            labels_sha256=labels_sha256,
            **about,
        )
        write_manifest(self._folder, manifest)
        return manifest

    def _finish_shard(self, file: BinaryIO) -> None:
        if self._in_file < self._capacity:
            file.seek(0)
            file.write(npy_header("|u1", (self._in_file, *self._shape)))
            file.seek(0)
            self._file_hash = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                self._file_hash.update(chunk)
        file.flush()
        os.fsync(file.fileno())
        file.close()
        name = shard_file(len(self._shards))
        self._shards.append(Shard(file=name, images=self._in_file, sha256=self._file_hash.hexdigest()))
        self._file, self._in_file = None, 0


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, the last file of a store."""
    write_synced(folder / MANIFEST_FILE, manifest.as_file())


def write_labels(folder: Path, labels: NDArray[np.int64]) -> tuple[bytes, str]:
    """Write labels.npy; return its values as bytes, as `ContentHash` takes them, and the SHA-256 of the file."""
    values = labels.astype("<i8").tobytes()
    return values, write_array(folder / LABELS_FILE, values, labels.shape)


def write_array(path: Path, values: bytes, shape: tuple[int, ...]) -> str:
    """Write a .npy file of little-endian int64; return its SHA-256."""
    data = npy_header("<i8", shape) + values
    write_synced(path, data)
    return hashlib.sha256(data).hexdigest()


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

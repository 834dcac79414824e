"""Writing a store of losslessly encoded images: a third to a half of the bytes, for the time that decoding takes."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.codecs import Lossless
from swincli.data.store.manifest import CHANNELS, LENGTHS_FILE, Manifest, Shard, shard_file
from swincli.data.store.raw_writer import SHARD_BYTES, ContentHash, write_array, write_labels, write_manifest


class EncodedStoreWriter:
    """Writes files one after the other into shards; leaving the `with` block closes whatever is open.

    Args:
        folder: An empty folder.
        resolution: Side of the images.
        encoding: What the images have become.
        shard_bytes: The largest size of a shard of more than one image.
    """

    def __init__(self, folder: Path, resolution: int, encoding: Lossless, shard_bytes: int = SHARD_BYTES) -> None:
        self._folder, self._side, self._encoding, self._capacity = folder, resolution, encoding, shard_bytes
        self._content = ContentHash()
        self._shards: list[Shard] = []
        self._lengths = array("q")
        self._file: BinaryIO | None = None
        self._file_hash = hashlib.sha256()
        self._in_file = self._bytes_in_file = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def images(self) -> int:
        """How many were added."""
        return len(self._lengths)

    def add(self, pixels: NDArray[np.uint8], encoded: bytes | None = None) -> None:
        """Append one image; see `writers.Writer`."""
        assert pixels.shape == (self._side, self._side, CHANNELS)
        assert encoded
        if self._file is not None and self._bytes_in_file + len(encoded) > self._capacity:
            self._finish_shard(self._file)
        if self._file is None:
            self._file = (self._folder / shard_file(len(self._shards), self._encoding)).open("wb")
            self._file_hash = hashlib.sha256()
            self._in_file = self._bytes_in_file = 0
        self._file.write(encoded)
        self._file_hash.update(encoded)
        self._content.update(pixels.tobytes())
        self._lengths.append(len(encoded))
        self._in_file += 1
        self._bytes_in_file += len(encoded)

    def describe(self, labels: NDArray[np.int64] | None, about: Mapping[str, Any]) -> Manifest:
        """Write what is left, lengths, labels and, last of all, the manifest; see `writers.Writer`."""
        if self._file is not None:
            self._finish_shard(self._file)
        lengths = np.array(self._lengths, "<i8")
        values, labels_sha256 = (None, None) if labels is None else write_labels(self._folder, labels)
        manifest = Manifest(
            images=self.images,
            resolution=self._side,
            encoding=self._encoding,
            shards=self._shards,
            content_hash=self._content.finish(self.images, self._side, values),
            lengths_sha256=write_array(self._folder / LENGTHS_FILE, lengths.tobytes(), lengths.shape),
            labels_sha256=labels_sha256,
            **about,
        )
        write_manifest(self._folder, manifest)
        return manifest

    def _finish_shard(self, file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())
        file.close()
        name = shard_file(len(self._shards), self._encoding)
        self._shards.append(Shard(file=name, images=self._in_file, sha256=self._file_hash.hexdigest()))
        self._file = None

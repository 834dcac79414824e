"""Writer of a store, raw or encoded: shards, lengths, labels and the manifest, hashed while they are written."""

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

from swincli.data.store.attribute_values import AttributeValues
from swincli.data.store.captions import Captions
from swincli.data.store.codecs import Encoding
from swincli.data.store.manifest import (
    ATTRIBUTES_FILE,
    CAPTIONS_FILE,
    CHANNELS,
    LABELS_FILE,
    LENGTHS_FILE,
    MANIFEST_FILE,
    ContentHash,
    Manifest,
    Shard,
    shard_file,
)
from swincli.data.store.npy_header import HEADER_BYTES, npy_header
from swincli.system.file_hash import ThreadedHash, file_sha256

SHARD_BYTES = 2**31


class StoreWriter:
    """Writes images one by one into shards. Leaving the `with` block closes the open shard.

    A raw shard is a .npy file: a header and the pixels. An encoded shard is the images' PNG or WebP files one after
    the other, without a header; `lengths.npy` has their sizes.

    Args:
        folder: An empty folder.
        resolution: Side of the images in pixels.
        encoding: How an image is stored.
        shard_bytes: Largest size of a shard with more than one image.
        expected: Number of images to come; None if unknown. If it is wrong, the last shard is read once more, to be
            hashed.
    """

    def __init__(
        self,
        folder: Path,
        resolution: int,
        encoding: Encoding = "raw",
        shard_bytes: int = SHARD_BYTES,
        *,
        expected: int | None = None,
    ) -> None:
        self._folder, self._encoding, self._shard_bytes = folder, encoding, shard_bytes
        self._shape = (resolution, resolution, CHANNELS)
        self._images_of_full_shard = max(1, (shard_bytes - HEADER_BYTES) // (resolution * resolution * CHANNELS))
        self._expected = expected
        self._content = ContentHash()
        self._lengths = array("q")
        self._shards: list[Shard] = []
        self._file: BinaryIO | None = None
        self._file_hash = ThreadedHash()
        self._header_written = b""
        self._file_images = self._file_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def images(self) -> int:
        """Number of images added so far."""
        return len(self._lengths)

    def add(self, pixels: NDArray[np.uint8], encoded: bytes | None = None) -> None:
        """Append one image; see `ImageSink.add`."""
        assert pixels.shape == self._shape
        assert pixels.dtype == np.uint8
        raw = pixels.tobytes()
        data = raw if self._encoding == "raw" else encoded
        assert data
        if self._file is not None and self._file_bytes + len(data) > self._shard_bytes:
            self._finish_shard(self._file)
        if self._file is None:
            self._file = self._begin_shard()
        self._file.write(data)
        self._file_hash.update(data)
        self._content.update(raw)
        self._lengths.append(len(data))
        self._file_images += 1
        self._file_bytes += len(data)

    def finish(
        self,
        labels: NDArray[np.int64] | None,
        facts: Mapping[str, Any],
        attributes: AttributeValues | None = None,
        captions: Captions | None = None,
    ) -> Manifest:
        """Write the last shard, lengths, labels, attributes, captions and finally the manifest.

        See `ImageWriter.finish`.
        """
        if self._file is not None:
            self._finish_shard(self._file)
        assert labels is None or labels.shape == (self.images,)
        values = None if labels is None else labels.astype("<i8").tobytes()
        lengths = None if self._encoding == "raw" else np.array(self._lengths, "<i8").tobytes()
        manifest = Manifest(
            images=self.images,
            resolution=self._shape[0],
            encoding=self._encoding,
            shards=self._shards,
            content_hash=self._content.finish(
                self.images, self._shape[0], values, b"".join(each.hashed() for each in (attributes, captions) if each)
            ),
            lengths_sha256=None if lengths is None else self._write_int64(LENGTHS_FILE, lengths),
            labels_sha256=None if values is None else self._write_int64(LABELS_FILE, values),
            attributes=None if attributes is None else [one.as_dict() for one in attributes.each],
            attributes_sha256=None if attributes is None else self._write_attributes(attributes),
            captions=None if captions is None else captions.facts,
            captions_sha256=None if captions is None else self._write_captions(captions),
            **facts,
        )
        write_synced(self._folder / MANIFEST_FILE, manifest.as_file())
        return manifest

    def _header(self, images: int) -> bytes:
        return npy_header("|u1", (images, *self._shape)) if self._encoding == "raw" else b""

    def _begin_shard(self) -> BinaryIO:
        """Begin a shard with the header of a full one, or of one with the rest of the expected images."""
        rest = None if self._expected is None else max(1, self._expected - self.images)
        full = self._images_of_full_shard
        header = self._header_written = self._header(full if rest is None else min(full, rest))
        file = (self._folder / shard_file(len(self._shards), self._encoding)).open("w+b")
        file.write(header)
        self._file_hash = ThreadedHash(header)
        self._file_images, self._file_bytes = 0, len(header)
        return file

    def _finish_shard(self, file: BinaryIO) -> None:
        header = self._header(self._file_images)
        if header == self._header_written:
            digest = self._file_hash.hexdigest()
        else:
            file.seek(0)
            file.write(header)
            file.flush()
            digest = file_sha256(self._folder / shard_file(len(self._shards), self._encoding))
        file.flush()
        os.fsync(file.fileno())
        file.close()
        name = shard_file(len(self._shards), self._encoding)
        self._shards.append(Shard(file=name, images=self._file_images, sha256=digest))
        self._file = None

    def _write_captions(self, captions: Captions) -> str:
        """Write captions.safetensors; return its SHA-256."""
        assert len(captions.starts) == self.images + 1
        data = captions.stored()
        write_synced(self._folder / CAPTIONS_FILE, data)
        return hashlib.sha256(data).hexdigest()

    def _write_int64(self, name: str, values: bytes) -> str:
        """Write little-endian int64 values, one per image, as a .npy file; return its SHA-256."""
        return self._write_npy(name, npy_header("<i8", (self.images,)) + values)

    def _write_attributes(self, attributes: AttributeValues) -> str:
        """Write attributes.npy; return its SHA-256."""
        assert len(attributes.values) == self.images
        return self._write_npy(ATTRIBUTES_FILE, npy_header("<f4", attributes.values.shape) + attributes.stored())

    def _write_npy(self, name: str, data: bytes) -> str:
        write_synced(self._folder / name, data)
        return hashlib.sha256(data).hexdigest()


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and sync it to the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

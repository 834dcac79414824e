"""Verification of a store: every file and all pixels against the hashes of the manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from swincli.console import Advance, Console
from swincli.data.store.manifest import (
    ATTRIBUTES_FILE,
    CAPTIONS_FILE,
    LABELS_FILE,
    LENGTHS_FILE,
    ContentHash,
    Manifest,
)
from swincli.data.store.npy_header import HEADER_BYTES
from swincli.data.store.reader import Store
from swincli.errors import DataError, from_os_error
from swincli.system.file_hash import file_sha256

_BATCH = 32  # images decoded at a time


def verify_store(path: Path, console: Console) -> Manifest:
    """Check shapes, counts and every hash of a store.

    Raises:
        DataError: Files are damaged. The message names all of them.
    """
    store = Store.open(path)
    manifest = store.manifest
    damaged = []
    content = ContentHash()
    raw = manifest.encoding == "raw"
    with console.progress("Verifying", manifest.images) as advance:
        for shard in manifest.shards:
            if _hash_file(path / shard.file, content if raw else None) != shard.sha256:
                damaged.append(shard.file)
            advance(shard.images if raw else 0)
        if not raw and _hash_file(path / LENGTHS_FILE, None) != manifest.lengths_sha256:
            damaged.append(LENGTHS_FILE)
        if not raw and not damaged:
            _decode_all(store, content, advance)
    labels = None
    if manifest.labels_sha256 is not None:
        if _hash_file(path / LABELS_FILE, None) != manifest.labels_sha256:
            damaged.append(LABELS_FILE)
        labels = (path / LABELS_FILE).read_bytes()[HEADER_BYTES:]
    attributes = b""
    if store.attributes is not None:
        if _hash_file(path / ATTRIBUTES_FILE, None) != manifest.attributes_sha256:
            damaged.append(ATTRIBUTES_FILE)
        attributes = store.attributes.hashed()
    if store.captions is not None:
        if _hash_file(path / CAPTIONS_FILE, None) != manifest.captions_sha256:
            damaged.append(CAPTIONS_FILE)
        attributes += store.captions.hashed()
    hint = "Copy the store again, or prepare it again with --force."
    if damaged:
        raise DataError(f"{path} is damaged: {', '.join(damaged)} differ from the hashes in manifest.json", hint)
    if content.finish(manifest.images, manifest.resolution, labels, attributes) != manifest.content_hash:
        raise DataError(f"{path}: manifest.json is damaged: content_hash does not match the files", hint)
    return manifest


def _decode_all(store: Store, content: ContentHash, advance: Advance) -> None:
    for start in range(0, len(store), _BATCH):
        batch = store.fetch(np.arange(start, min(start + _BATCH, len(store))))
        content.update(batch.tobytes())
        advance(len(batch))


def _hash_file(path: Path, content: ContentHash | None) -> str:
    skip = HEADER_BYTES

    def add_pixels(chunk: bytes) -> None:
        nonlocal skip
        if content is not None:
            content.update(memoryview(chunk)[skip:])
        skip = 0

    try:
        return file_sha256(path, add_pixels)
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error

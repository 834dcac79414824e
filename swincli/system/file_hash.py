"""SHA-256 of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

_CHUNK = 2**24  # bytes to read at once


def file_sha256(path: Path, on_chunk: Callable[[bytes], object] | None = None) -> str:
    """SHA-256 of a file, in hexadecimal.

    Args:
        path: The file.
        on_chunk: Called with every part of the file in turn, for a second use of the same bytes.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if on_chunk is None:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            on_chunk(chunk)
    return digest.hexdigest()

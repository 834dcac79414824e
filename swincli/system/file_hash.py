"""SHA-256 of a file, and of a stream that is written meanwhile."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

_CHUNK = 2**24  # bytes to read at once
_PORTION = 2**18  # bytes that are handed to the thread at once; less would cost more than the hashing
_WAITING = 2**24  # bytes that may wait for the thread


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


class ThreadedHash:
    """SHA-256 of a stream, computed in a thread of its own: OpenSSL releases the GIL. The thread ends with the object.

    Args:
        data: The first bytes.
    """

    def __init__(self, data: bytes = b"") -> None:
        self._hash = hashlib.sha256(data)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        self._portion: list[bytes | memoryview] = []
        self._portion_bytes = self._waiting_bytes = 0
        self._tasks: deque[tuple[Future[None], int]] = deque()

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes, which must not change. Waits if the thread is far behind, so that little memory is held."""
        self._portion.append(data)
        self._portion_bytes += len(data)
        if self._portion_bytes >= _PORTION:
            self._hand_over()

    def hexdigest(self) -> str:
        """The hash of all bytes, in hexadecimal; nothing can be added after it."""
        self._hand_over()
        self._wait(0)
        self._thread.shutdown()
        return self._hash.hexdigest()

    def _hand_over(self) -> None:
        self._wait(_WAITING)
        self._tasks.append((self._thread.submit(_add_all, self._hash, self._portion), self._portion_bytes))
        self._waiting_bytes += self._portion_bytes
        self._portion, self._portion_bytes = [], 0

    def _wait(self, most: int) -> None:
        """Wait until no more than so many bytes wait for the thread."""
        while self._tasks and self._waiting_bytes > most:
            task, size = self._tasks.popleft()
            task.result()
            self._waiting_bytes -= size


def _add_all(digest: hashlib._Hash, portion: list[bytes | memoryview]) -> None:
    for data in portion:
        digest.update(data)

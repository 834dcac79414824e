"""Writes image files in threads, while the next images are generated."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from swincli.system.atomic_files import SYNCS_ALL, sync_all, write_atomically

MAX_ENCODERS = 8  # threads: encoding a large PNG takes longer than generating the image on a GPU
ROOM = 2**28  # bytes of the images that wait


class ImageWriter:
    """A context manager that writes files in the order in which they are added.

    Threads encode the images and one thread writes them. A file gets its name when it is complete, so a kill leaves no
    incomplete one. All files are synced to disk at once at the end. After an error no further file is written.
    """

    def __init__(self) -> None:
        self._encoders = ThreadPoolExecutor(MAX_ENCODERS, thread_name_prefix="encode")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._bytes = 0
        self._failed = False

    def add(self, path: Path, encode: Callable[[], bytes], size: int) -> None:
        """Encode and write a file later; waits while too many bytes wait.

        Args:
            path: The file.
            encode: Returns its content; called in a thread.
            size: Bytes in memory until it is written.

        Raises:
            ResourceError: an earlier file cannot be written.
        """
        self._waiting.append((self._writer.submit(self._write, path, self._encoders.submit(encode)), size))
        self._bytes += size
        while self._bytes > ROOM or (self._waiting and self._waiting[0][0].done()):
            self._finish_first()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Write what waits, and sync all files.

        Raises:
            ResourceError: a file cannot be written.
        """
        try:
            while self._waiting:
                with suppress(*(() if error is None else (Exception,))):
                    self._finish_first()
            if SYNCS_ALL:
                sync_all()
        finally:
            for pool in (self._encoders, self._writer):
                pool.shutdown(cancel_futures=True)

    def _finish_first(self) -> None:
        written, size = self._waiting.popleft()
        self._bytes -= size
        written.result()

    def _write(self, path: Path, content: Future[bytes]) -> None:
        if self._failed:
            return
        try:
            data = content.result()
            write_atomically(path, partial(Path.write_bytes, data=data), sync=not SYNCS_ALL)
        except BaseException:
            self._failed = True
            raise

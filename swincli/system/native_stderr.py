"""Standard error of native libraries. Some, such as libtiff, print there past Python, and cannot be told not to."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

_STDERR: Final = 2  # the file descriptor


class _Silence:
    """Sends file descriptor 2 to nowhere while at least one block is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._original: int | None = None

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            try:
                self._original = os.dup(_STDERR)
                nowhere = os.open(os.devnull, os.O_WRONLY)
            except OSError:  # closed, or no descriptor is free: then the lines appear
                return
            os.dup2(nowhere, _STDERR)
            os.close(nowhere)

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside or self._original is None:
                return
            os.dup2(self._original, _STDERR)
            os.close(self._original)
            self._original = None


@cache
def _silence() -> _Silence:
    return _Silence()


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Drop what native code prints on standard error inside the block. Any number of threads may be inside.

    What Python prints meanwhile in another thread is kept after `keep_own_stderr`.
    """
    _silence().enter()
    try:
        yield
    finally:
        _silence().leave()


def keep_own_stderr() -> None:
    """Let `sys.stderr` write to a copy of file descriptor 2, so that `silent_libraries` does not drop its lines."""
    stream = sys.stderr
    try:
        if not isinstance(stream, io.TextIOWrapper) or stream.fileno() != _STDERR:
            return
    except OSError:  # in the hands of a notebook or test
        return
    stream.flush()
    sys.stderr = open(  # noqa: SIM115 - for the life of the process
        os.dup(_STDERR), "w", buffering=1, encoding=stream.encoding, errors=stream.errors, closefd=False
    )

"""A run in a process of a queue: it saves and stops when the queue does or dies, and reports its errors as JSON."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from swincli.console import Console
from swincli.errors import SwincliError, from_os_error
from swincli.system.process_limits import explain_limit

STDIN = 0


@contextmanager
def stop_with_input() -> Iterator[None]:
    """Raise SIGTERM in this process when its standard input ends, so that training saves and stops.

    The queue holds the other end of that pipe. The system closes it if the queue is killed, on every platform.
    """
    ended, main = threading.Event(), threading.get_ident()

    def wait() -> None:
        while os.read(STDIN, 1):  # without Python's buffer, whose lock a thread must not hold at the end
            pass
        if not ended.is_set():
            _terminate(main)

    threading.Thread(target=wait, daemon=True, name="queue").start()
    try:
        yield
    finally:
        ended.set()


def _terminate(thread: int) -> None:
    """Raise SIGTERM in a thread, even if it waits for something; on Windows, in the process."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, signal.SIGTERM)
    else:
        signal.raise_signal(signal.SIGTERM)


@contextmanager
def report_errors(console: Console) -> Iterator[None]:
    """Print an error of the block on stdout as JSON with the keys `error` and `hint`, for the queue, and raise it."""
    try:
        yield
    except SwincliError as error:
        console.emit({"error": error.message, "hint": error.hint}, [])
        raise
    except Exception as error:
        explained: SwincliError | None = explain_limit(error)
        if explained is None and isinstance(error, OSError):
            explained = from_os_error(error, str(error.filename or "swincli"))
        message = explained.message if explained else f"unexpected {type(error).__name__}: {error}"
        console.emit({"error": message, "hint": explained.hint if explained else None}, [])
        raise

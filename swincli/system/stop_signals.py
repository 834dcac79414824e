"""Signals that end a command: Ctrl-C, SIGTERM, SIGHUP; and worker processes that end when their parent is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Final

from swincli.system.torchrun_env import is_distributed, is_secondary

INTERRUPTED: Final = "interrupted"
_REASONS: Final = {"SIGINT": INTERRUPTED, "SIGTERM": "terminated", "SIGHUP": "hangup", "SIGBREAK": INTERRUPTED}
_LAST_SECONDS: Final = 1.0  # to clean up after a second signal
_SAME_SIGNAL: Final = 2.0  # seconds; torchrun's agent passes on the Ctrl-C that the terminal has sent already


def end_on_signals() -> None:
    """Raise KeyboardInterrupt in the main thread on Ctrl-C, SIGTERM and SIGHUP, so that everything is cleaned up.

    A second signal leaves the command one second to clean up, and then ends the process. A signal that is ignored, as
    SIGHUP under nohup, stays ignored. Processes other than the main one under torchrun write no files; they keep the
    system's handlers.
    """
    if is_secondary():
        return
    first: list[float] = []
    terminals = open_terminals()

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        mute_closed(terminals)
        if not first:
            first.append(time.monotonic())
            raise KeyboardInterrupt(_REASONS[signal.Signals(number).name], 128 + number)
        if not is_distributed() or time.monotonic() - first[0] >= _SAME_SIGNAL:
            _end_soon(128 + number)

    for name in _REASONS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP, other systems have no SIGBREAK
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def reason_and_code(error: KeyboardInterrupt) -> tuple[str, int]:
    """Why a command was interrupted, such as "terminated", and its exit code: 128 plus the number of the signal."""
    return (error.args[0], error.args[1]) if len(error.args) == 2 else (INTERRUPTED, 128 + signal.SIGINT)


def open_terminals() -> list[int]:
    """The file descriptors of output that are terminals: stdout, stderr, and the copy that `sys.stderr` may have."""
    descriptors = {1, 2}
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # none, closed, or in the hands of a notebook or test
            descriptors.add(stream.fileno())
    return [descriptor for descriptor in sorted(descriptors) if os.isatty(descriptor)]


def mute_closed(terminals: list[int]) -> None:
    """Send what is still printed to nowhere, on terminals that have been closed; writing there would be an error.

    Args:
        terminals: File descriptors that were terminals at the start.
    """
    for descriptor in terminals:
        try:
            os.get_terminal_size(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def init_worker() -> None:
    """Prepare a worker process: Ctrl-C and SIGHUP are left to its parent, and it ends as soon as its parent is gone."""
    for name in ("SIGINT", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=[parent.sentinel], daemon=True).start()


def _end_with(sentinel: int) -> None:
    from multiprocessing import connection

    connection.wait([sentinel])
    os._exit(1)  # nobody waits for results, and a worker has nothing to clean up


def _end_soon(code: int) -> None:
    timer = threading.Timer(_LAST_SECONDS, os._exit, [code])
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:  # the interpreter is ending and starts no more threads
        sys.stderr.flush()
        os._exit(code)

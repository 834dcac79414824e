"""Stopping between steps: on Ctrl-C and on SIGTERM, as a scheduler sends it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from swincli.console import Console


class Stop:
    """Whether, and why, training is to end after the step in hand; None means go on."""

    reason: str | None = None


@contextmanager
def stop_on_signals(console: Console) -> Iterator[Stop]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second Ctrl-C interrupts at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread alone
        return

    def request(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if stop.reason is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.reason = "interrupted" if number == signal.SIGINT else "terminated"
        console.say(f"{stop.reason}: finishing the step and saving")

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

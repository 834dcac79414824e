"""Stopping between steps: on Ctrl-C, on SIGTERM as a scheduler sends it, and before a time limit."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Literal

import psutil

from swincli.console import Console

# From a terminal under torchrun one Ctrl-C arrives twice: from the terminal, and again from torchrun's agent.
SAME_CTRL_C = 2.0  # seconds
RECENT_STEPS = 256  # enough for every lazy phase to be among them; a first step that compiles is soon forgotten
SPARE, LEAVING = 1.25, 2.0  # how much longer than ever a step and a save may take; seconds to end the process


class Stop:
    """Whether, and why, training is to end after the step in hand.

    Args:
        deadline: When the process is to be gone, by `time.monotonic`; None for never.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = deadline
        self._asked: str | None = None
        self._first_signal: float | None = None
        self._steps: deque[float] = deque(maxlen=RECENT_STEPS)
        self._longest_save = 0.0

    @property
    def reason(self) -> str | None:
        """Why to stop, such as "interrupted"; None means that there is time for a save, a step and another save."""
        if self._asked is None and self._deadline is not None:
            ahead = max(self._steps, default=0.0) + 2 * self._longest_save
            if time.monotonic() + SPARE * ahead + LEAVING > self._deadline:
                self._asked = "--max-time reached"
        return self._asked

    def ask(self, reason: str) -> None:
        """Request the end; what was asked first stays the reason."""
        self._asked = self._asked or reason

    @contextmanager
    def timing(self, what: Literal["step", "save"]) -> Iterator[None]:
        """Note how long the block takes: a step of everything, or all that is written after it."""
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        if what == "step":
            self._steps.append(seconds)
        else:
            self._longest_save = max(self._longest_save, seconds)

    def receive(self, number: int) -> bool:
        """Take a signal as a request.

        Returns:
            Whether it is the first one.

        Raises:
            KeyboardInterrupt: it is a Ctrl-C of somebody who has asked before and does not want to wait.
        """
        now = time.monotonic()
        if self._first_signal is None:
            self._first_signal = now
            self.ask("interrupted" if number == signal.SIGINT else "terminated")
            return True
        if number == signal.SIGINT and now - self._first_signal >= SAME_CTRL_C:
            raise KeyboardInterrupt
        return False


@contextmanager
def stop_when_asked(console: Console, max_time: float | None = None) -> Iterator[Stop]:
    """Turn Ctrl-C, SIGTERM and the approach of a time limit into a request that is read after every step.

    A second Ctrl-C, two seconds or more after the first signal, interrupts at once.

    Args:
        console: Where a signal is acknowledged.
        max_time: Seconds after the start of the command by which it is to have ended.
    """
    stop = Stop(None if max_time is None else time.monotonic() + max_time - seconds_since_start())
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread alone
        return

    def request(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if stop.receive(number):
            with suppress(RuntimeError):  # the signal came in the middle of a line that was being printed
                console.say(f"{stop.reason}: finishing the step and saving")

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def seconds_since_start() -> float:
    """How long ago the command was started: this process, or torchrun where that has started this process."""
    process = psutil.Process()
    if "TORCHELASTIC_RUN_ID" in os.environ:
        process = process.parent() or process
    return max(0.0, time.time() - process.create_time())

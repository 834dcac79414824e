"""Stopping a run between two steps: Ctrl-C, SIGTERM (a scheduler), SIGHUP (a closed terminal), and `--max-time`.

`stop_file` adds the requests of `swincli stop`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Literal

import psutil

from swincli.console import Console
from swincli.system.stop_signals import mute_closed, open_terminals

# Under torchrun one Ctrl-C arrives twice: from the terminal and from torchrun's agent.
SAME_CTRL_C = 2.0  # seconds
TIMED_STEPS = 256  # contains every lazy phase; the slow first step, which may compile, drops out
_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none
REASONS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"} | ({_HANGUP: "hangup"} if _HANGUP else {})
TIME_LIMIT = "--max-time reached"
SPARE, LEAVING = 1.25, 2.0  # safety factor for the next step and saves; seconds to end the process


class StopRequest:
    """Whether and why training should stop after the current step.

    Args:
        deadline: When the process must have ended, by `time.monotonic`; None for no limit.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = deadline
        self._asked: str | None = None
        self._first_signal: float | None = None
        self._steps: deque[float] = deque(maxlen=TIMED_STEPS)
        self._longest_save = 0.0
        self._sources: list[Callable[[], str | None]] = []

    @property
    def reason(self) -> str | None:
        """Why to stop, e.g. "interrupted"; None without a request."""
        return self._asked

    def listen(self, source: Callable[[], str | None]) -> None:
        """Have `poll` ask one more source, which returns a reason or None."""
        self._sources.append(source)

    def poll(self, steps: int = 1) -> bool:
        """Look at the time limit and at all sources; returns whether training should stop.

        The time limit is a request as soon as a save, the steps and another save might not fit before it.

        Args:
            steps: Steps that may still run before the next poll could stop training.
        """
        if self._asked is None and self._deadline is not None:
            ahead = steps * max(self._steps, default=0.0) + 2 * self._longest_save
            if time.monotonic() + SPARE * ahead + LEAVING > self._deadline:
                self.ask(TIME_LIMIT)
        for source in self._sources:
            reason = source()
            if reason is not None:
                self.ask(reason)
        return self._asked is not None

    def ask(self, reason: str) -> None:
        """Request a stop; the first reason is kept."""
        self._asked = self._asked or reason

    @contextmanager
    def timing(self, what: Literal["step", "save"]) -> Iterator[None]:
        """Record the duration of the block: one step, or everything that is written after it."""
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        if what == "step":
            self._steps.append(seconds)
        else:
            self._longest_save = max(self._longest_save, seconds)

    def handle_signal(self, number: int) -> bool:
        """Handle a signal as a stop request.

        Returns:
            Whether it is the first one.

        Raises:
            KeyboardInterrupt: it is a second Ctrl-C, `SAME_CTRL_C` seconds or more after the first signal.
        """
        now = time.monotonic()
        if self._first_signal is None:
            self._first_signal = now
            self.ask(REASONS[signal.Signals(number)])
            return True
        if number == signal.SIGINT and now - self._first_signal >= SAME_CTRL_C:
            raise KeyboardInterrupt
        return False


@contextmanager
def catch_stop_signals(console: Console, max_time: float | None = None) -> Iterator[StopRequest]:
    """Turn Ctrl-C, SIGTERM, SIGHUP and the time limit into a stop request, which the loop reads after every step.

    A second Ctrl-C, two seconds or more after the first signal, interrupts at once. A SIGHUP that is ignored, as under
    nohup, stays ignored.

    Args:
        console: Where the first signal is confirmed.
        max_time: Time limit in seconds from the start of the command.
    """
    stop = StopRequest(None if max_time is None else time.monotonic() + max_time - seconds_since_start())
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread can handle signals
        return

    terminals = open_terminals()

    def request(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        mute_closed(terminals)
        if stop.handle_signal(number):
            with suppress(RuntimeError, OSError):  # the signal interrupted a print
                console.say(f"{stop.reason}: finishing the step and saving")

    heard = [number for number in REASONS if number != _HANGUP or signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, request) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def seconds_since_start() -> float:
    """Seconds since the command started: since the start of this process, or of the torchrun that started it."""
    process = psutil.Process()
    if "TORCHELASTIC_RUN_ID" in os.environ:
        process = process.parent() or process
    return max(0.0, time.time() - process.create_time())

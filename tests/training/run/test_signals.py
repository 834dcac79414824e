"""Requests to stop: signals, however often they come, and a time limit that leaves room for the save."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from swincli.console import Console
from swincli.training.run import signals
from swincli.training.run.signals import StopRequest, catch_stop_signals, seconds_since_start


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        patch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: self.now))

    def spend(self, stop: StopRequest, step: float = 0.0, save: float = 0.0) -> None:
        if step:
            with stop.timing("step"):
                self.now += step
        if save:
            with stop.timing("save"):
                self.now += save


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def heard_hangup() -> Iterator[None]:
    """SIGHUP as it is without nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.usefixtures("heard_hangup")
@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated"), (signal.SIGHUP, "hangup")]
)
def test_a_signal_is_a_request(capsys: pytest.CaptureFixture[str], number: signal.Signals, reason: str) -> None:
    before = signal.getsignal(number)
    with catch_stop_signals(Console()) as stop:
        assert stop.reason is None
        send(number)
        assert stop.reason == reason
        send(signal.SIGTERM)  # schedulers send it more than once
        assert stop.reason == reason
    assert capsys.readouterr().err == f"{reason}: finishing the step and saving\n"
    assert signal.getsignal(number) is before


def test_a_hangup_that_is_ignored_at_the_start_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with catch_stop_signals(Console(quiet=True)) as stop:
            send(signal.SIGHUP)
            assert stop.reason is None
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_takes_what_is_still_printed() -> None:
    """A child in a terminal of its own prints after the terminal was closed."""
    code = (
        "import os, sys, time; from swincli.console import Console;"
        "from swincli.training.run.signals import catch_stop_signals\n"
        "with catch_stop_signals(Console()) as stop:\n"
        "    print('ready', flush=True)\n"
        "    while stop.reason is None: time.sleep(0.01)\n"
        "    Console().say('saved'); print('done', flush=True)\n"
        "os._exit(7)"
    )
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
        os.execv(sys.executable, [sys.executable, "-c", code])
    while b"ready" not in os.read(terminal, 1000):
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_one_ctrl_c_that_arrives_twice_is_one(clock: Clock) -> None:
    with catch_stop_signals(Console(quiet=True)) as stop:
        send(signal.SIGINT)
        clock.now += 1.9
        send(signal.SIGINT)
        assert stop.reason == "interrupted"


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_later_ctrl_c_interrupts_at_once(clock: Clock, first: signal.Signals) -> None:
    with catch_stop_signals(Console(quiet=True)):
        send(first)
        clock.now += 2.1
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_ctrl_c_while_saving_for_another_reason_does_not_interrupt(clock: Clock) -> None:
    with catch_stop_signals(Console(quiet=True)) as stop:
        stop.ask("--max-time reached")
        clock.now += 100
        send(signal.SIGINT)
        assert stop.reason == "--max-time reached"


def test_outside_the_main_thread_there_are_no_signals_but_a_time_limit() -> None:
    reasons: list[str | None] = []

    def work() -> None:
        with catch_stop_signals(Console(quiet=True), 1e-9) as stop:
            stop.poll()
            reasons.append(stop.reason)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reasons == ["--max-time reached"]


def test_without_a_limit_time_does_not_matter(clock: Clock) -> None:
    stop = StopRequest()
    clock.spend(stop, step=1e6, save=1e6)
    assert not stop.poll()


def test_a_limit_leaves_time_for_the_next_step_and_for_what_is_saved_before_and_after_it(clock: Clock) -> None:
    stop = StopRequest(clock.now + 200)
    clock.spend(stop, step=20)
    clock.spend(stop, step=10, save=30)
    assert not stop.poll()  # after 60 s: 140 are left for 30 + 20 + 30 and some to spare
    clock.now += 37
    assert not stop.poll()
    clock.now += 2
    assert stop.poll()
    assert stop.reason == "--max-time reached"


def test_a_long_first_step_is_forgotten(clock: Clock) -> None:
    stop = StopRequest(clock.now + 2000)
    clock.spend(stop, step=1500)  # such as one that compiles
    for _ in range(signals.TIMED_STEPS):
        clock.spend(stop, step=1)
    assert not stop.poll()


def test_a_limit_that_was_reached_stays_the_reason(clock: Clock) -> None:
    stop = StopRequest(clock.now + 1)
    assert stop.poll()
    assert stop.reason == "--max-time reached"
    clock.now -= 100
    stop.ask("interrupted")
    assert stop.poll()
    assert stop.reason == "--max-time reached"


def test_reading_the_reason_asks_nobody(clock: Clock) -> None:
    stop = StopRequest(clock.now - 1)
    stop.listen(lambda: "stop requested")
    assert stop.reason is None
    assert stop.poll()
    assert stop.reason == "--max-time reached"


def test_time_counts_from_the_start_of_the_command() -> None:
    code = "import time; time.sleep(0.3); from swincli.training.run.signals import seconds_since_start as s; print(s())"
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(alone.stdout) > 0.2
    under_torchrun = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TORCHELASTIC_RUN_ID": "none"},
    )
    # Its parent, this process, stands for torchrun's agent, and is older.
    assert seconds_since_start() >= float(under_torchrun.stdout) > float(alone.stdout)

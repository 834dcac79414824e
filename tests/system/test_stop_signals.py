"""Ctrl-C, SIGTERM and SIGHUP clean up; a second signal ends a process that hangs while it cleans up."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swincli.system.stop_signals import reason_and_code

PREPARE = """
import os, signal, sys, time
from pathlib import Path
from swincli.system import stop_signals
from swincli.system.atomic_files import atomic_path
stop_signals._LAST_SECONDS = 0.1
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
"""
WRITE = """
stop_signals.end_on_signals()
try:
    with atomic_path(Path(sys.argv[1])) as temporary:
        temporary.write_text("half")
        print("ready", flush=True)
        time.sleep(60)
except KeyboardInterrupt as error:
    reason, code = stop_signals.reason_and_code(error)
    print(reason)
    sys.exit(code)
"""
HANG = """
stop_signals.end_on_signals()
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    print("cleaning up", flush=True)
    time.sleep(60)
"""


@contextmanager
def started(code: str, *arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has printed "ready"."""
    command = [sys.executable, "-c", PREPARE + code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment or None) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated"), (signal.SIGHUP, "hangup")]
)
def test_nothing_half_written_stays(tmp_path: Path, number: signal.Signals, reason: str) -> None:
    with started(WRITE, tmp_path / "x.png") as process:
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.communicate(timeout=20)[0] == f"{reason}\n"
        assert process.returncode == 128 + number
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_process_that_hangs(second: signal.Signals) -> None:
    with started(HANG) as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaning up\n"
        process.send_signal(second)
        assert process.wait(20) == 128 + second


def test_one_ctrl_c_that_arrives_twice_under_torchrun_is_one() -> None:
    with started(HANG, WORLD_SIZE="2", RANK="0", PYTHONPATH=str(Path(__file__).parents[2])) as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaning up\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)


def test_other_processes_than_the_main_one_end_at_once() -> None:
    with started(HANG, WORLD_SIZE="2", RANK="1", PYTHONPATH=str(Path(__file__).parents[2])) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM


def test_what_is_ignored_stays_ignored() -> None:
    code = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + HANG  # as nohup does
    with started(code) as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "cleaning up\n"
        assert process.poll() is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), KeyboardInterrupt("odd")])
def test_an_interrupt_of_another_origin_is_a_ctrl_c(error: KeyboardInterrupt) -> None:
    assert reason_and_code(error) == ("interrupted", 130)

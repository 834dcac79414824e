"""`swincli prepare-data` with worker processes that is stopped or killed: nothing hangs, lives on or stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

# A worker imports the script of its parent under another name; there, a picture takes a minute to decode.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from swincli.data.preparing import workers

def slow(*arguments):
    Path(os.environ["AT_WORK"], str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    from swincli.commands.app import main
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    workers.SERIAL_FILES = 0
    main()
else:
    workers.decode_and_crop = slow
"""
SENT = {
    "twice": (signal.SIGINT, signal.SIGINT),
    "terminated": (signal.SIGTERM,),
    "killed": (signal.SIGKILL,),
}


@dataclass
class Running:
    """A command that is at work, its worker processes, and the folder of its store."""

    process: subprocess.Popen[str]
    at_work: Path
    folder: Path

    def worker_ids(self) -> list[int]:
        return [int(path.name) for path in self.at_work.iterdir()]


@pytest.fixture(scope="module")
def running(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """Commands with two workers each, all of which are decoding. They start together, which saves time."""
    commands: dict[str, Running] = {}
    for name in SENT:
        folder, at_work = (tmp_path_factory.mktemp(what) for what in (f"stores-{name}", f"at-work-{name}"))
        script = at_work.with_suffix(".py")
        script.write_text(SCRIPT)
        arguments = ["prepare-data", str(pictures), str(folder / "s"), "--resolution", "512", "--workers", "2"]
        environment = {**os.environ, "AT_WORK": str(at_work), "PYTHONPATH": str(Path(__file__).parents[3])}
        process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        commands[name] = Running(process, at_work, folder)
    try:
        for command in commands.values():
            wait_until(lambda at_work=command.at_work: len(list(at_work.iterdir())) == 2)
        yield commands
    finally:
        for command in commands.values():
            command.process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def stop(command: Running, *numbers: signal.Signals) -> str:
    """Send signals to a command, and return what it printed on stderr when it and its workers have ended."""
    assert [path.name.startswith(".s.partial-") for path in command.folder.iterdir()] == [True]
    for number in numbers:
        if number == signal.SIGINT:  # which a terminal sends to every process
            os.killpg(command.process.pid, number)
        else:
            command.process.send_signal(number)
        time.sleep(0.05)
    _, err = command.process.communicate(timeout=20)
    wait_until(lambda: not any(map(psutil.pid_exists, command.worker_ids())))
    return err


@pytest.mark.parametrize(("name", "code", "told"), [("twice", 130, "interrupted"), ("terminated", 143, "terminated")])
def test_a_signal_ends_everything_and_leaves_nothing(
    running: dict[str, Running], name: str, code: int, told: str
) -> None:
    command = running[name]
    assert stop(command, *SENT[name]) == f"error: {told}\n"
    assert command.process.returncode in (code, -SENT[name][-1])  # the second signal may come when all is done
    assert list(command.folder.iterdir()) == []


def test_workers_end_with_a_parent_that_was_killed(running: dict[str, Running]) -> None:
    stop(running["killed"], signal.SIGKILL)
    assert running["killed"].process.returncode == -signal.SIGKILL

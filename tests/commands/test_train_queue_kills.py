"""A queue of real processes that is killed at random moments: the same command goes on to the same bits."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from same_run import without_clock

from swincli.training.run.folder import RunFolder
from swincli.training.run.state import read_state

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="sends signals")]
RECIPES = ["a.toml", "b.toml"]
TOTAL = 48


@dataclass(frozen=True)
class Queue:
    """A queue of two runs.

    Attributes:
        folder: Where it works.
        seconds: How long it took without a kill.
        end: What its runs were at their end.
    """

    folder: Path
    seconds: float
    end: dict[str, Any]

    def start(self) -> subprocess.Popen[bytes]:
        return start(self.folder)

    def finish(self) -> None:
        assert start(self.folder).wait(timeout=300) == 0
        assert ends(self.folder) == self.end


@pytest.fixture(scope="module")
def queue(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Queue:
    """A queue that has come to its end once, in a folder without runs."""
    folder = tmp_path_factory.mktemp("queue")
    for number, name in enumerate(RECIPES):
        base = trained_run.parent / "tiny.toml"
        (folder / name).write_text(f'extends = "{base}"\n[train]\nseed = {number}\n[run]\ntensorboard = false\n')
    started = time.monotonic()
    assert start(folder).wait(timeout=300) == 0
    return Queue(folder, time.monotonic() - started, ends(folder))


@pytest.fixture(autouse=True)
def _without_runs(queue: Queue) -> None:
    shutil.rmtree(queue.folder / "runs")


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "swincli", "train", *RECIPES, "--device", "cpu", "--quiet"]
    options = ["--set", f"train.total={TOTAL}"]
    return subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, cwd=folder)


def ends(folder: Path) -> dict[str, Any]:
    """The last model and state of every run, without the clock."""
    found: dict[str, Any] = {}
    for name in RECIPES:
        run = RunFolder(folder / "runs" / Path(name).stem)
        found[name] = without_clock(read_state(run.state(TOTAL))), run.model(TOTAL).read_bytes()
    return found


def wait_for(happened: Callable[[], Any], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_queue_that_is_killed_at_any_moment(queue: Queue, number: signal.Signals) -> None:
    seed = time.time_ns() % 2**32
    for moment in (random.Random(seed).uniform(0, queue.seconds) for _ in range(2)):
        process = queue.start()
        with_end = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < with_end:
            time.sleep(0.01)
        process.send_signal(number)
        code = process.wait(timeout=60)
        assert code in (0, 3, -number), f"seed {seed}, after {moment:.2f} s"
    queue.finish()


@pytest.mark.parametrize("run", ["a", "b"])
def test_a_run_that_is_killed(queue: Queue, run: str) -> None:
    process = queue.start()
    wait_for((queue.folder / "runs" / run / "stats.jsonl").exists)
    os.kill(psutil.Process(process.pid).children()[0].pid, signal.SIGKILL)
    assert process.wait(timeout=300) == 1
    other = RunFolder(queue.folder / "runs" / ("b" if run == "a" else "a"))
    assert other.model(TOTAL).exists()
    queue.finish()


def test_no_run_goes_on_without_its_queue(queue: Queue) -> None:
    process = queue.start()
    wait_for((queue.folder / "runs/a/stats.jsonl").exists)
    child = psutil.Process(process.pid).children()[0]
    process.kill()
    process.wait()
    wait_for(lambda: not child.is_running())
    assert not (queue.folder / "runs/a/.lock").exists()  # it ended in good order
    assert not (queue.folder / "runs/b").exists()

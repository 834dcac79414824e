"""One session a run folder: the second is refused, that of a dead process is taken over."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import TrainingError
from swincli.recipe import Recipe
from swincli.system.distributed import Processes
from swincli.training.loop import train
from swincli.training.run import lock
from swincli.training.run.lock import RunLock, locked_run

HOLD = (
    "import sys, time; from pathlib import Path; from swincli.training.run import lock;"
    "{prepare}; lock.RunLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"
)
WITHOUT_FLOCK = "lock.fcntl = None"


@contextmanager
def holder(run: Path, prepare: str = "pass") -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of a run."""
    command = [sys.executable, "-c", HOLD.format(prepare=prepare), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def content(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / ".lock").read_text())
    return found


@pytest.mark.parametrize("prepare", ["pass", WITHOUT_FLOCK])
def test_the_second_session_is_refused_and_a_dead_one_gives_way(
    tmp_path: Path,
    store: Store,
    tiny_recipe: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
    prepare: str,
) -> None:
    if prepare == WITHOUT_FLOCK:
        monkeypatch.setattr(lock, "fcntl", None)
    run = tmp_path / "runs" / "one"
    with holder(run, prepare) as process:
        with pytest.raises(TrainingError, match="another swincli train works in it") as caught:
            train(tiny_recipe(), store, run, torch.device("cpu"), Console(quiet=True), resume=True)
        facts = content(run)
        assert f"process {process.pid} on {platform.node()}, since {facts['since']}" in caught.value.message
        assert "another --out" in str(caught.value.hint)
        assert [path.name for path in run.iterdir()] == [".lock"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (run / ".lock").exists()
        with locked_run(run, Processes()):
            assert content(run)["pid"] == os.getpid()
    assert not (run / ".lock").exists()


def test_a_lock_of_another_machine_is_named_and_stays(tmp_path: Path) -> None:
    text = json.dumps({"host": "elsewhere", "pid": 7, "since": "2026-01-01 10:00:00+01:00"})
    (tmp_path / ".lock").write_text(text)
    with pytest.raises(TrainingError, match="process 7 on elsewhere, since 2026-01-01 10:00:00") as caught:
        RunLock(tmp_path).acquire()
    assert f"If that process has ended, delete {tmp_path / '.lock'}" in str(caught.value.hint)
    assert (tmp_path / ".lock").read_text() == text


@pytest.mark.parametrize(
    ("before", "now", "taken"), [(["0", "0"], ["1", "0"], True), ([0, 2], [0, 2], False), ([0, 1], [0, 2], True)]
)
def test_a_job_that_is_started_again_on_another_machine_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list[object], now: list[object], taken: bool
) -> None:
    (tmp_path / ".lock").write_text(json.dumps({"host": "elsewhere", "pid": 7, "job": "12", "restarts": before}))
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(now[0]))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(now[1]))
    if taken:
        RunLock(tmp_path).acquire()
    else:
        with pytest.raises(TrainingError):
            RunLock(tmp_path).acquire()


@pytest.mark.parametrize("text", ["", "no JSON", "[]", f'{{"host": "{platform.node()}", "pid": "x"}}'])
def test_a_damaged_lock_is_no_reason_for_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(lock, "_WAIT", 0.001)
    (tmp_path / ".lock").write_text(text)
    for flock in (lock.fcntl, None):
        monkeypatch.setattr(lock, "fcntl", flock)
        with locked_run(tmp_path, Processes()):
            assert content(tmp_path)["pid"] == os.getpid()
        (tmp_path / ".lock").write_text(text)


def test_two_sessions_of_one_process_are_two(tmp_path: Path) -> None:
    with locked_run(tmp_path, Processes()), pytest.raises(TrainingError), locked_run(tmp_path, Processes()):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_for_the_lock_alone_is_removed(tmp_path: Path) -> None:
    def fail() -> None:
        with locked_run(tmp_path / "runs" / "one", Processes()):
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_only_the_main_process_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = Processes(1, 2)
    monkeypatch.setattr(Processes, "from_main", lambda *_: None)
    with locked_run(tmp_path, second):
        assert list(tmp_path.iterdir()) == []

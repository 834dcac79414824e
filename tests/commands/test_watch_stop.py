"""`swincli watch` and `swincli stop`, beside a run that trains in this process."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from swincli.commands import stop, watch
from swincli.commands.app import run
from swincli.console import Console
from swincli.training.run import stop_file
from swincli.training.run.lock import RunLock

RARELY = ("--set", "run.snapshot=100k", "--set", "run.samples=100k", "--set", "run.tensorboard=false")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((stop, "LOOK_SECONDS"), (watch, "LOOK_SECONDS"), (stop_file, "POLL_SECONDS")):
        monkeypatch.setattr(module, name, 0.05)


@pytest.fixture
def stopped(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of a run of 8 images, made longer."""
    out = Path(shutil.copytree(trained_run, tmp_path / "run"))
    recipe = out / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("total = 8", "total = 100000"))
    return out


@contextmanager
def once_it_trains(out: Path, *command: str) -> Iterator[list[int]]:
    """Run a command in a thread once a run has logged something; its exit code comes into the list."""
    ended, codes = threading.Event(), []

    def call() -> None:
        while not (out / "stats.jsonl").exists():
            if ended.wait(0.02):
                return
        codes.append(run(list(command)))

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield codes
    finally:
        ended.set()
        thread.join()


def test_stop_saves_ends_and_says_how_far_it_came(tiny_recipe_file: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "run"
    with once_it_trains(out, "stop", str(out)) as codes:
        run(
            ["train", str(tiny_recipe_file), "--out", str(out), "--device", "cpu", "--set", "train.total=100k", *RARELY]
        )
    assert codes == [0]
    output = capsys.readouterr()
    seen = int(sorted(out.glob("state-*.pt"))[-1].stem.removeprefix("state-"))
    assert f"{out}: stopped at {seen:,} of 100,000 images" in output.out
    assert f"stop requested: stopped at {seen:,} of 100,000 images" in output.err
    assert "to save and end" in output.err
    assert not (out / stop_file.NAME).exists()
    assert not (out / ".lock").exists()


def test_stop_of_a_run_that_does_not_run(stopped: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(["stop", str(stopped)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {stopped}: is not running; stopped at 8 of 100,000 images\n")
    assert run(["stop", str(tmp_path / "missing")]) == 1
    assert "no such run folder" in capsys.readouterr().err
    assert not (stopped / stop_file.NAME).exists()


def test_stop_without_waiting_leaves_the_request(stopped: Path, capsys: Capture) -> None:
    lock = RunLock(stopped)
    lock.acquire()
    try:
        assert run(["stop", str(stopped), "--no-wait", "--json"]) == 0
    finally:
        lock.release()
    facts = json.loads(capsys.readouterr().out)
    assert (facts["ended"], facts["images_seen"], facts["total"]) == (False, 8, 100_000)
    assert json.loads((stopped / stop_file.NAME).read_bytes())["session"]["pid"] == facts["pid"]


def test_watch_once_and_as_json(stopped: Path, capsys: Capture) -> None:
    assert run(["watch", str(stopped), "--once"]) == 0
    state, status = capsys.readouterr().out.splitlines()
    assert state == f"{stopped}: stopped at 8 of 100,000 images"
    assert status.startswith("kimg 0.0 (0%)  sec/kimg ")
    assert run(["watch", str(stopped), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["state"], facts["images_seen"], facts["saved"]) == ("stopped", 8, 8)
    assert facts["model"] == str(stopped / "model-000000000008.safetensors")


def test_watch_prints_a_line_for_each_report_until_the_run_ends(
    tiny_recipe_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "run"
    with once_it_trains(out, "watch", str(out)) as codes:
        arguments = ["--set", "train.total=32", "--set", "run.log=4", "--quiet", *RARELY]
        run(["train", str(tiny_recipe_file), "--out", str(out), "--device", "cpu", *arguments])
    assert codes == [0]
    lines = capsys.readouterr().out.splitlines()
    assert any(": running: process " in line for line in lines)
    assert len([line for line in lines if line.startswith("kimg ")]) >= 2
    assert f"{out}: finished: 32 of 32 images" in lines


def test_watch_on_a_terminal_draws_the_live_view_and_ctrl_c_leaves_the_run(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console, screen = Console(), io.StringIO()
    console.stderr = RichConsole(file=screen, force_terminal=True, color_system=None, width=100, height=40)
    lock = RunLock(stopped)
    lock.acquire()

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", interrupt)
    try:
        result = watch.run(watch.WatchRequest(run=stopped), console)
    finally:
        monkeypatch.undo()
        lock.release()
    assert result.lines == []
    assert not (stopped / stop_file.NAME).exists()
    shown = screen.getvalue()
    for words in ("running: process", "8 of 100k images", "loss D", "to the end"):
        assert words in shown


@pytest.mark.parametrize("command", ["watch", "stop"])
def test_a_file_is_no_run(stopped: Path, command: str, capsys: Capture) -> None:
    assert run([command, str(stopped / "recipe.toml")]) == 1
    assert "no such run folder" in capsys.readouterr().err


@pytest.mark.slow
def test_stop_under_torchrun_reaches_all_processes(tiny_recipe_file: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "--", "swincli", "train", str(tiny_recipe_file), "--out", str(out), "--device", "cpu", *RARELY]
    command += ["--set", "train.total=100k", "--set", "train.batch=8"]
    with subprocess.Popen([*launcher, *command], stderr=subprocess.PIPE, text=True) as agent:
        while not (out / "stats.jsonl").exists():
            assert agent.poll() is None
            time.sleep(0.1)
        assert run(["stop", str(out), "--json"]) == 0
        _, said = agent.communicate(timeout=60)
    seen = json.loads(capsys.readouterr().out)["images_seen"]
    assert (out / f"state-{seen:012d}.pt").exists()
    assert said.count(f"stop requested: stopped at {seen:,} of 100,000 images") == 1


@pytest.mark.slow
def test_a_killed_run_is_told_and_a_lock_of_elsewhere_is_not_waited_for_in_silence(
    tiny_recipe_file: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "swincli", "train", str(tiny_recipe_file), "--out", str(out), "--device", "cpu"]
    process = subprocess.Popen([*command, "--set", "train.total=100k", *RARELY], stderr=subprocess.DEVNULL)
    while not (out / "stats.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert run(["watch", str(out), "--once"]) == 0
    assert ": killed: process " in capsys.readouterr().out
    assert run(["stop", str(out)]) == 1
    assert "is not running; killed: process" in capsys.readouterr().err
    facts = json.loads((out / ".lock").read_bytes())
    (out / ".lock").write_text(json.dumps({**facts, "host": "elsewhere"}))
    waited = 0

    def sleep(_: float) -> None:
        nonlocal waited
        waited += 1
        if waited == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(stop, "IMPATIENT_SECONDS", -1.0)
    monkeypatch.setattr(stop.time, "sleep", sleep)
    assert run(["stop", str(out)]) == 0
    said = capsys.readouterr().err
    assert "not heard yet" in said
    assert "the request stays" in said

"""`swincli train A B ...`: a queue of runs. Short scripts stand for the processes; slow tests start real ones."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from swincli.commands.app import run
from swincli.commands.train import queue, queued
from swincli.commands.train.request import Entry
from swincli.errors import ResourceError
from swincli.training.run.lock import RunLock

Capture = pytest.CaptureFixture[str]
FINISHES = "import json; print(json.dumps(dict(images_seen=24, total=24, finished=True)))"
WAITS = (
    "import os, pathlib, sys; pathlib.Path('waiting').touch(); os.read(0, 1);"
    "print('{\"images_seen\": 12}'); sys.exit(3)"
)
FAILS = 'import sys; print(\'{"error": "a loss is not finite"}\'); sys.exit(1)'
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def recipes(tiny_recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three recipes of one network, in the working directory."""
    monkeypatch.chdir(tmp_path)
    names = ["a.toml", "b.toml", "c.toml"]
    for number, name in enumerate(names):
        (tmp_path / name).write_text(f'extends = "{tiny_recipe_file}"\n[train]\nseed = {number}\n')
    return names


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The script that stands for the process of each run, by the recipe's name; the default finishes."""
    found: dict[str, str] = {}

    def command(recipe: Path, entry: Entry, *_: Any) -> list[str]:
        assert recipe.read_text()
        return [sys.executable, "-S", "-c", found.get(entry.name, FINISHES)]

    monkeypatch.setattr(queue, "child_command", command)
    return found


def train(*arguments: str) -> int:
    return run(["train", *arguments, "--device", "cpu"])


def states(output: str) -> list[tuple[str, str]]:
    return [(each["state"], each["reason"]) for each in json.loads(output)["runs"]]


def test_a_run_that_fails_does_not_stop_the_rest(recipes: list[str], scripts: dict[str, str], capsys: Capture) -> None:
    scripts |= {"a.toml": FAILS, "b.toml": DIES}
    assert train(*recipes, "--json") == 1
    output = capsys.readouterr()
    assert states(output.out) == [
        ("failed", "a loss is not finite"),
        ("failed", "killed by SIGKILL, perhaps because memory ran out"),
        ("finished", ""),
    ]
    facts = json.loads(output.out)
    assert facts["finished"] is False
    assert {"recipe": "c.toml", "run": "runs/c", "images_seen": 24, "total": 24}.items() <= facts["runs"][2].items()
    for word in ("queued: a.toml, b.toml, c.toml", "2 of 3: b.toml, runs/b", "24 of 24", "a loss is not finite"):
        assert word in output.err


def test_all_finished(recipes: list[str], scripts: dict[str, str], capsys: Capture) -> None:
    assert scripts == {}
    assert train(*recipes, "--json") == 0
    assert json.loads(capsys.readouterr().out)["finished"] is True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_running_one_in_good_order_and_the_queue(
    recipes: list[str], scripts: dict[str, str], capsys: Capture, number: signal.Signals
) -> None:
    scripts["b.toml"] = WAITS

    def send() -> None:
        while not Path("waiting").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    assert train(*recipes, "--json") == 3
    thread.join()
    reason = "terminated" if number == signal.SIGTERM else "interrupted"
    assert states(capsys.readouterr().out) == [("finished", ""), ("stopped", reason), ("not started", reason)]


def test_a_second_ctrl_c_kills_the_running_one(
    recipes: list[str], scripts: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    scripts["a.toml"] = "import os, pathlib, time; pathlib.Path('waiting').write_text(str(os.getpid())); time.sleep(60)"
    monkeypatch.setattr("swincli.training.run.signals.SAME_CTRL_C", 0.0)
    monkeypatch.setattr(queue, "LAST_SECONDS", 0.1)

    def send() -> None:
        while not (Path("waiting").exists() and Path("waiting").read_text()):
            time.sleep(0.01)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

    thread = threading.Thread(target=send)
    thread.start()
    assert train(*recipes) == 130
    thread.join()
    assert "interrupted" in capsys.readouterr().err
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("waiting").read_text()), 0)


def test_a_process_that_cannot_start_is_a_failed_run(
    recipes: list[str], scripts: dict[str, str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def popen(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        if "raise" in command[-1]:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(command, **options)

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", popen)
    scripts["a.toml"] = "raise"
    assert train(*recipes, "--json") == 1
    reason = "the system lets this process start no more processes"
    assert states(capsys.readouterr().out) == [("failed", reason), ("finished", ""), ("finished", "")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows inherits no ignored signal")
def test_ctrl_c_of_the_terminal_does_not_break_the_start_of_a_run(
    recipes: list[str], scripts: dict[str, str], capsys: Capture
) -> None:
    scripts["a.toml"] = f"import os, signal; os.kill(os.getpid(), signal.SIGINT); {FINISHES}"
    assert train(*recipes) == 0
    capsys.readouterr()


def test_nothing_is_started_if_one_of_them_cannot(recipes: list[str], scripts: dict[str, str], capsys: Capture) -> None:
    scripts["a.toml"] = FAILS
    Path("b.toml").write_text('extends = "a.toml"\n[data]\npath = "nowhere"\n')
    Path("c.toml").write_text('extends = "a.toml"\n[evaluate]\nevery = 8\nmetrics = ["fidd"]\n')
    assert train(*recipes) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "2 of 3 runs cannot start, so none was started" in said
    assert "b.toml: nowhere" in said
    assert 'evaluate.metrics: unknown metric "fidd"; did you mean "fid"?' in said
    assert not Path("runs").exists()


def test_weights_that_a_measurement_needs_are_found_first(
    recipes: list[str], scripts: dict[str, str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(*_: object) -> None:
        raise ResourceError("no weights of Inception")

    monkeypatch.setattr(queue, "find_detector_weights", find)
    scripts["a.toml"] = FAILS
    Path("b.toml").write_text('extends = "a.toml"\n[evaluate]\nevery = 8\n')
    assert train(*recipes) == 1
    assert "b.toml: no weights of Inception" in " ".join(capsys.readouterr().err.split())
    assert not Path("runs").exists()


def test_all_recipes_with_problems_are_named(recipes: list[str], capsys: Capture) -> None:
    Path("a.toml").write_text("[train]\nbatch = 0\n")
    Path("b.toml").write_text("[modell]\n")
    assert train(*recipes) == 2
    said = capsys.readouterr().err
    assert "2 recipes have problems" in said
    assert "train.batch" in said
    assert "modell" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "run.name=x"], "a.toml and b.toml: would share the run folder runs/x"),
        (["a.toml"], "a.toml and a.toml: would share the run folder runs/a"),
        (["--out", "runs/x"], "--out runs/x: several recipes cannot share one run folder"),
    ],
)
def test_runs_that_would_share_a_folder(
    recipes: list[str], scripts: dict[str, str], capsys: Capture, arguments: list[str], message: str
) -> None:
    assert scripts == {}
    assert train(*recipes, *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_no_queue_under_torchrun(recipes: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert train(*recipes) == 2
    assert "torchrun" in capsys.readouterr().err


def test_finished_runs_are_passed_over(
    recipes: list[str], scripts: dict[str, str], trained_run: Path, capsys: Capture
) -> None:
    scripts["a.toml"] = FAILS
    shutil.copytree(trained_run, "runs/a")
    assert train(*recipes[:2], "--set", "train.total=8", "--json") == 0
    found = json.loads(capsys.readouterr().out)["runs"][0]
    assert (found["state"], found["reason"], found["images_seen"]) == ("finished", "was finished", 8)
    assert found["model"] == "runs/a/model-000000000008.safetensors"
    assert train(*recipes[:2], "--set", "train.total=8", "--resume", "never") == 2
    assert "runs/a: there is a run already" in " ".join(capsys.readouterr().err.split())
    Path("a.toml").write_text('extends = "b.toml"\n[train]\nbatch = 2\n')
    assert train(*recipes[:2]) == 2
    assert "train.batch: 2 now, 4 in the run" in " ".join(capsys.readouterr().err.split())


def test_dry_run_describes_all(recipes: list[str], capsys: Capture) -> None:
    assert train(*recipes, "--dry-run", "--json") == 0
    facts = json.loads(capsys.readouterr().out)["runs"]
    assert [each["run"] for each in facts] == ["runs/a", "runs/b", "runs/c"]
    assert {each["steps"] for each in facts} == {6}
    assert not Path("runs").exists()


def test_a_folder_in_use_is_waited_for_and_then_refused(
    recipes: list[str], scripts: dict[str, str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scripts == {}
    lock = RunLock(Path("runs/b"))
    lock.acquire()
    monkeypatch.setattr(queue, "LOCK_SECONDS", 0.1)
    assert train(*recipes) == 1
    assert "b.toml: runs/b: another swincli train works in it" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(queue, "LOCK_SECONDS", 30)
    timer = threading.Timer(0.3, lock.release)
    timer.start()
    assert train(*recipes) == 0
    timer.join()


def test_the_command_of_a_run(monkeypatch: pytest.MonkeyPatch, recipes: list[str], capsys: Capture) -> None:
    commands: list[list[str]] = []

    def popen(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        commands.append(command)
        return real([sys.executable, "-S", "-c", FINISHES], **options)

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", popen)
    assert train(*recipes[:2], "--max-time", "100d", "--quiet", "--debug", "--set", "train.total=8") == 0
    capsys.readouterr()
    first = commands[0]
    assert first[1:4] == ["-m", "swincli", "train"]
    assert {"--queued", "--json", "--quiet", "--debug"} <= set(first)
    assert first[first.index("--out") + 1] == "runs/a"
    assert 99 * 86_400 < int(first[first.index("--max-time") + 1].removesuffix("s")) < 100 * 86_400


def test_little_time_left_starts_no_other_run(
    recipes: list[str], scripts: dict[str, str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scripts == {}
    monkeypatch.setattr(queue, "SHORTEST", 1e9)
    assert train(*recipes, "--max-time", "100d", "--json") == 3
    assert states(capsys.readouterr().out)[1:] == [("not started", "--max-time reached")] * 2


def test_a_queued_run_stops_when_its_input_ends() -> None:
    script = (
        "import signal, sys, time; from swincli.commands.train.queued import stop_with_input\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "with stop_with_input():\n    print(flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(timeout=30) == 5


def test_a_queued_run_reports_its_error(recipes: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, _ = os.pipe()  # stays open: the thread reads from it until the tests end
    monkeypatch.setattr(queued, "STDIN", reader)
    assert train(recipes[0], "--queued", "--json", "--data", "nowhere") == 1
    assert "nowhere" in json.loads(capsys.readouterr().out)["error"]

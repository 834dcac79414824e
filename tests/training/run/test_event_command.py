"""The command that is told what becomes of a run: it gets JSON, and nothing that it does harms the run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.training import loop
from swincli.training.loop import train
from swincli.training.run.event_command import EventCommand, run_command

MakeRecipe = Callable[..., Recipe]
Capture = pytest.CaptureFixture[str]
WITHOUT_BOARD = "run.tensorboard=false"
posix = pytest.mark.skipif(sys.platform == "win32", reason="commands of sh")


def run(recipe: Recipe, store: Store, out: Path, console: Console | None = None) -> None:
    train(recipe, store, out, torch.device("cpu"), console or Console(quiet=True), resume=True)


def told(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@posix
def test_a_run_tells_how_it_goes(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, log = tmp_path / "run", tmp_path / "events"
    recipe = tiny_recipe(WITHOUT_BOARD, f'run.on_event="cat >> {log}"', "train.total=16")
    step, done = loop.run_step, 0

    def failing(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == 4:
            raise RuntimeError("a disaster\nwith details")
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_step", failing)
        with pytest.raises(RuntimeError):
            run(recipe, store, out)
    run(recipe, store, out)
    events = told(log)
    assert [(each["event"], each["images"]) for each in events] == [
        ("test", 0), ("started", 0), ("saved", 8), ("failed", 12),
        ("started", 8), ("saved", 16), ("finished", 16),
    ]  # fmt: skip
    assert events[3]["reason"] == "a disaster"
    last = events[-1]
    assert last.keys() == {
        "event", "run", "images", "total", "metrics", "best", "model", "reason", "host", "time"
    }  # fmt: skip
    assert (last["run"], last["total"]) == (str(out), 16)
    assert last["model"] == str(out / "model-000000000016.safetensors")
    assert str(log) in (out / "recipe.toml").read_text()  # in the run folder, and in no file that is handed on
    assert str(log).encode() not in Path(last["model"]).read_bytes()


@posix
def test_a_best_model_and_a_stop_are_told(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert detector.exists()
    out, log = tmp_path / "run", tmp_path / "events"
    recipe = tiny_recipe(
        WITHOUT_BOARD, f'run.on_event="cat >> {log}"', "evaluate.every=8", "evaluate.num=4", "train.total=8"
    )
    with monkeypatch.context() as patch:
        patch.setattr(loop.StopRequest, "poll", lambda stop, *_: stop.ask("stop requested") or True)
        train(recipe, store, out, torch.device("cpu"), Console(quiet=True), resume=True)
    events = {each["event"]: each for each in told(log)}
    assert events["stopped"]["reason"] == "stop requested"
    assert events["stopped"]["images"] == 4
    run(recipe, store, out)
    best = next(each for each in told(log) if each["event"] == "best")
    assert best["images"] == best["best"]["images"] == 8
    assert best["metrics"]["fid"] == best["best"]["value"]


@posix
@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("cat > /dev/null", None),
        ("true", None),
        ("yes | head -n 200000", None),
        ("echo no such host >&2; exit 3", "exit code 3: no such host"),
        ("exit 3", "exit code 3"),
        ("kill -9 $$", "exit code -9"),
        ("(sleep 100; echo) & sleep 100", "killed after 0.3 s"),
        ("sleep 100 & echo started; exit 4", "exit code 4: started"),
    ],
)
def test_what_a_command_does(command: str, problem: str | None) -> None:
    started = time.monotonic()
    assert run_command(command, "x" * 200_000, 0.3 if "sleep" in command else 20.0) == problem
    assert time.monotonic() - started < 15


@posix
def test_failures_are_told_once(capsys: Capture) -> None:
    command = EventCommand("exit 3", Console())
    for event in ("saved", "finished"):
        command.tell({"event": event})
    command.close()
    assert capsys.readouterr().err == 'warning: run.on_event: event "saved": exit code 3; training goes on\n'


@posix
def test_a_swincli_in_the_command_is_no_process_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "1")
    assert run_command("env | grep -cE '^(RANK|WORLD_SIZE|MASTER_|TORCHELASTIC)' && exit 1 || exit 0", "", 20) is None


def test_a_command_that_cannot_even_start_is_a_warning(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr("swincli.training.run.event_command.subprocess.Popen", fail)
    command = EventCommand("true", Console())
    command.tell({"event": "saved"})
    command.close()
    assert "no more processes; training goes on" in capsys.readouterr().err

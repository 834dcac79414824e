"""What a detached training has said, and that it outlives its parent."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from swincli.commands.app import run
from swincli.commands.train.request import TrainRequest
from swincli.errors import SwincliError
from swincli.training.run.detach import error_in, train_detached

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("output", "message", "hint"),
    [
        ("going on\nerror: a: b\n\nhint: do c\n", "a: b", "do c"),
        ("error: first\nerror: x has 2 problems\n  one\n  two\n", "x has 2 problems\n  one\n  two", None),
        ("Killed", "otherwise", "Killed"),
        ("", "otherwise", ""),
    ],
)
def test_the_error_in_a_log(output: str, message: str, hint: str | None) -> None:
    error = error_in(output, "otherwise", 2)
    assert (error.message, error.hint, error.exit_code) == (message, hint, 2)


def test_an_early_error_is_that_of_the_training_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command fails in its first line, before PyTorch is imported."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SwincliError, match="nowhere: no such recipe") as caught:
        train_detached(["train", "nowhere", "--out", "run"], Path("run"))
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "words"), [(["--dry-run"], "--dry-run does not train")])
def test_what_cannot_be_meant(tiny_recipe_file: Path, arguments: list[str], words: str, capsys: Capture) -> None:
    assert run(["train", str(tiny_recipe_file), "--detach", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="has no such pipes")
def test_not_with_a_recipe_that_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    request = TrainRequest(recipes=[str(pipe)], detach=True)
    with pytest.raises(SwincliError, match="can be read only once"):
        request.check()


def test_ctrl_c_ends_the_waiting_alone(
    tiny_recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("swincli.commands.train.detach.train_detached", interrupt)
    assert run(["train", str(tiny_recipe_file), "--out", str(tmp_path / "run"), "--detach"]) == 130
    assert "the training goes on. To end it: swincli stop" in capsys.readouterr().err


def test_not_under_torchrun(tiny_recipe_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(["train", str(tiny_recipe_file), "--detach"]) == 2
    assert "--detach: not under torchrun" in capsys.readouterr().err


@pytest.mark.slow
def test_a_detached_training_is_watched_and_stopped(tiny_recipe_file: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "run"
    command = ["train", str(tiny_recipe_file), "--out", str(out), "--device", "cpu", "--set", "train.total=1M"]
    assert run([*command, "--detach", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    child = psutil.Process(facts["pid"])
    if sys.platform != "win32":
        assert os.getsid(child.pid) != os.getsid(0)
    assert run(["watch", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "running"
    assert run([*command, "--detach"]) == 1
    assert "another swincli train works in it" in capsys.readouterr().err
    assert run(["stop", str(out)]) == 0
    assert "stopped at" in capsys.readouterr().out
    for _ in range(100):
        if not child.is_running() or child.status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.1)
    assert "stop requested: stopped at" in (out / "train.log").read_text()
    assert run([*command, "--set", "train.total=4", "--detach"]) == 0  # there is nothing to do

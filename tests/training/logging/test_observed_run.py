"""A run as others see it: from the files in its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from swincli.errors import TrainingError
from swincli.recipe import Recipe, dump_recipe
from swincli.training.logging.observed_run import ObservedRun, RunObserver, facts_of, memory_of, status_of
from swincli.training.run.lock import own_facts

MakeRecipe = Callable[..., Recipe]


def at(seconds_ago: float) -> str:
    return datetime.fromtimestamp(time.time() - seconds_ago, UTC).isoformat(timespec="seconds")


def line(images_seen: int, ago: float, **others: object) -> str:
    values = {
        "images_seen": images_seen,
        "sec_per_kimg": 500.0,
        "seconds": images_seen / 2,
        "g_lr": 5e-5,
        "d_lr": 1e-4,
        "memory/cpu": 2**30,
        "loss/d": 1.25,
        "time": at(ago),
    }
    return json.dumps({**values, **others}) + "\n"


@pytest.fixture
def run(tiny_recipe: MakeRecipe, tmp_path: Path) -> Path:
    """A run of 24 images after 16 of them, that was stopped."""
    (tmp_path / "recipe.toml").write_text(dump_recipe(tiny_recipe("run.snapshot=16")))
    rare = {"loss/r1": 0.5, "loss/d": 9.0}
    (tmp_path / "stats.jsonl").write_text(line(8, 24, **rare) + line(16, 8))
    (tmp_path / "state-000000000016.pt").touch()
    return tmp_path


def hold(run: Path, **facts: object) -> None:
    (run / ".lock").write_text(json.dumps({**own_facts(), "since": at(100), **facts}))


def look(run: Path) -> ObservedRun:
    return RunObserver(run).look()


def age(run: Path, seconds: float) -> None:
    for path in (*run.iterdir(), run / ".lock"):
        os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_a_run_goes_from_state_to_state(run: Path) -> None:
    assert (look(run).state, look(run).words) == ("stopped", "stopped at 16 of 24 images")
    hold(run)
    observed = look(run)
    assert observed.state == "running"
    assert observed.words.startswith(f"running: process {os.getpid()} on ")
    hold(run, host="elsewhere", pid=7)
    assert look(run).state == "running"
    age(run, 700)
    assert (look(run).state, look(run).words[:31]) == ("silent", "no sign of life for 11m 40s: pr")
    hold(run, started=1.0)
    assert look(run).state == "killed"
    assert "is gone; saved: 16 of 24 images" in look(run).words
    (run / ".lock").unlink()
    (run / "state-000000000024.pt").touch()
    assert (look(run).state, look(run).words) == ("finished", "finished: 24 of 24 images")


def test_a_session_before_its_first_file_is_starting(run: Path, tmp_path: Path) -> None:
    for path in run.iterdir():
        path.unlink()
    hold(run)
    observed = look(tmp_path)
    assert observed.state == "starting"
    assert facts_of(observed)["total"] == 0
    status_of(observed)


def test_slow_steps_are_no_silence(run: Path) -> None:
    (run / "stats.jsonl").write_text(line(16, 900, sec_per_kimg=100_000_000.0))
    hold(run, host="elsewhere")
    age(run, 900)
    assert look(run).state == "running"


def test_the_view_is_that_of_the_training(run: Path) -> None:
    hold(run)
    observed = look(run)
    status = status_of(observed)
    assert (status.images_seen, status.total, status.steps) == (16, 24, 2)
    assert status.seconds_per_image == 0.5  # of steps
    assert status.until["to the end"] == pytest.approx(8 * 2.0)  # by the clock: 16 s for 8 images
    assert status.until["next save"] == pytest.approx(8 * 2.0)
    assert status.means == {"loss/r1": 0.5, "loss/d": 1.25}
    assert status.session == pytest.approx(92, abs=3)
    assert str(memory_of(observed)["cpu"]) == "1.0 GiB"


def test_a_line_without_time_and_with_odd_values_does_no_harm(run: Path) -> None:
    """As an earlier version wrote it, or a damaged disk."""
    odd = {"images_seen": "x", "sec_per_kimg": None, "loss/d": None, "loss/g": [1], "time": 7, "memory/cpu": True}
    (run / "stats.jsonl").write_text(json.dumps({**json.loads(line(8, 1)), **odd}) + "\n" + '{"images_seen": 16, "sec')
    (run / "metrics.jsonl").write_text("[]\n")
    hold(run)
    observed = look(run)
    assert status_of(observed).means == {}
    assert facts_of(observed)["seconds_left"] is None
    old = [json.dumps({"images_seen": seen, "sec_per_kimg": 5.0}) + "\n" for seen in (8, 16)]
    (run / "stats.jsonl").write_text("".join(old))
    assert status_of(look(run)).until["to the end"] == pytest.approx(0.04)


def test_metrics_are_read_again_only_when_they_have_changed(run: Path) -> None:
    hold(run)
    observer, num = RunObserver(run), 10_000
    record = {"in_training": True, "images_seen": 8, "metrics": {"fid": 3.0}, "protocol": {"fakes": {"num": num}}}
    (run / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    first = observer.look()
    assert facts_of(first)["metrics"] == {"fid": {"value": 3.0, "images_seen": 8}}
    assert observer.look().history is first.history
    assert status_of(first).metrics == {"fid": "3.00 at 8"}


@pytest.mark.parametrize(("name", "words"), [("missing", "no such run folder"), ("", "there is no run in this folder")])
def test_what_is_no_run_is_said(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        look(tmp_path / name)


def test_a_look_needs_no_torch() -> None:
    modules = "swincli.training.logging.observed_run, swincli.training.run.stop_file"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

"""Metrics while several processes train: measured by all of them, and a failure in any ends it in all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchrun import torchrun

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.recipe import Recipe, dump_recipe
from swincli.training.in_training_metrics import InTrainingMetrics
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state

HERE = Path(__file__).parent
KEYS = (
    "train.batch=8",
    "evaluate.every=8",
    "evaluate.num=128",  # 64 of them each
    'evaluate.metrics=["fid","kid"]',
    "run.tensorboard=false",
)


@pytest.fixture
def recipe(tiny_recipe: Callable[..., Recipe]) -> Recipe:
    return tiny_recipe(*KEYS)


@pytest.fixture
def recipe_file(recipe: Recipe, tmp_path: Path) -> Path:
    path = tmp_path / "measured.toml"
    path.write_text(dump_recipe(recipe))
    return path


def records(run_folder: Path) -> list[dict[str, dict[str, float]]]:
    return [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_measure_as_one_does_and_agree_on_what_becomes_of_it(
    recipe: Recipe, recipe_file: Path, detector: Path, store: Store, tmp_path: Path
) -> None:
    done = torchrun(HERE / "measure_together.py", recipe_file, detector, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    leader, follower = (json.loads((tmp_path / f"results-{rank}.json").read_text()) for rank in (0, 1))
    assert leader == follower
    assert leader == {
        **{"due": True, "values": leader["values"], "due then": False},
        **{"failed in 1": {}, "failed in 0": {}, "stopped": {}, "due still": True, "mean": 0.5},
    }
    told = [line for line in done.stderr.splitlines() if "not measured" in line]
    assert told == [
        "warning: not measured after 16 images, training goes on: rank 1: RuntimeError: out of memory",
        "warning: not measured after 16 images, training goes on: RuntimeError: out of memory",
        "not measured after 16 images: the next session will measure it",
    ]
    state = build_state(recipe, store.content_hash, torch.device("cpu"))
    state.images_seen = 8
    folder = RunFolder(tmp_path / "alone")
    folder.prepare(recipe)
    expected = InTrainingMetrics(folder, state, store, Console(quiet=True)).measure(state)
    assert leader["values"] == pytest.approx(expected, rel=1e-6)
    (shared,), (alone,) = records(tmp_path / "run"), records(tmp_path / "alone")
    assert shared["metrics"] == leader["values"]
    alone["protocol"]["fakes"]["source"] = shared["protocol"]["fakes"]["source"]
    assert shared["protocol"] == alone["protocol"]


@pytest.mark.slow
def test_a_run_of_two_processes_is_measured_at_the_same_moments(
    recipe_file: Path, detector: Path, tmp_path: Path
) -> None:
    script = [HERE / "train_measured.py", detector, "train", recipe_file, "--device", "cpu", "--out"]
    for processes, name in ((1, "alone"), (2, "shared")):
        done = torchrun(*script, tmp_path / name, processes=processes)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(" after 16 images") == 1
        assert "not measured" not in done.stderr
    alone, shared = records(tmp_path / "alone"), records(tmp_path / "shared")
    assert [record["images_seen"] for record in shared] == [8, 16, 24]
    for one, other in zip(alone, shared, strict=True):  # of networks that differ by rounding
        assert other["metrics"] == pytest.approx(one["metrics"], rel=1e-3)

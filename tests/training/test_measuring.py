"""Metrics while training: written where they are due, and never the end of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from scripted_networks import MeanColours, save_script

from swincli.console import Console
from swincli.data.store import Store
from swincli.errors import ResourceError, UsageError
from swincli.recipe import Recipe
from swincli.training import measuring
from swincli.training.loop import train

CPU = torch.device("cpu")
EVERY = ("evaluate.every=8", "evaluate.num=8")


@pytest.fixture
def detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = save_script(MeanColours(), tmp_path / "colours.pt")
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    find = measuring.find_detector_weights
    monkeypatch.setattr(measuring, "find_detector_weights", lambda _, console: find(path, console))
    return path


@pytest.mark.usefixtures("detector")
def test_metrics_are_written_where_they_are_due(
    tiny_recipe: Callable[..., Recipe], store: Store, tmp_path: Path
) -> None:
    train(tiny_recipe(*EVERY), store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["images_seen"] for line in lines] == [8, 16, 24]
    assert all(line["metrics"]["fid"] > 0 for line in lines)
    assert lines[0]["protocol"]["fakes"]["num"] == 8


@pytest.mark.usefixtures("detector")
def test_a_metric_that_fails_does_not_stop_the_run(
    tiny_recipe: Callable[..., Recipe],
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(measuring, "evaluate", fail)
    result = train(tiny_recipe(*EVERY), store, tmp_path / "run", CPU, Console(), resume=True)
    assert result.finished
    assert "not measured after 8 images, training goes on: out of memory" in capsys.readouterr().err


def test_what_cannot_work_is_said_before_training_starts(
    tiny_recipe: Callable[..., Recipe], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(*EVERY, 'evaluate.metrics=["fidd"]')
    with pytest.raises(UsageError, match='unknown metric "fidd"'):
        train(recipe, store, tmp_path / "a", CPU, Console(quiet=True), resume=True)

    def missing(*_: object) -> Path:
        raise ResourceError("no weights")

    monkeypatch.setattr(measuring, "find_detector_weights", missing)
    with pytest.raises(ResourceError, match="no weights"):
        train(tiny_recipe(*EVERY), store, tmp_path / "b", CPU, Console(quiet=True), resume=True)
    assert not list(tmp_path.glob("?/stats.jsonl"))

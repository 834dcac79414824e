"""Metrics while training: written where they are due, and never the end of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from same_run import without_clock

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import ResourceError, UsageError
from swincli.metrics import registry
from swincli.recipe import Recipe
from swincli.training import in_training_metrics
from swincli.training.in_training_metrics import InTrainingMetrics
from swincli.training.loop import train
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state, read_state

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
EVERY = ("evaluate.every=8", "evaluate.num=8", "run.tensorboard=false")


@pytest.fixture(scope="module")
def measured(
    tiny_recipe: MakeRecipe, store: Store, shared_detector: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run that has been measured."""
    assert shared_detector.exists()
    out = tmp_path_factory.mktemp("measured") / "run"
    train(tiny_recipe(*EVERY), store, out, CPU, Console(quiet=True), resume=True)
    return out


def test_metrics_are_written_where_they_are_due(measured: Path) -> None:
    lines = [json.loads(line) for line in (measured / "metrics.jsonl").read_text().splitlines()]
    assert [line["images_seen"] for line in lines] == [8, 16, 24]
    assert all(line["metrics"]["fid"] > 0 for line in lines)
    assert lines[0]["protocol"]["fakes"]["num"] == 8


def test_measuring_changes_nothing_else(measured: Path, finished_run: Path) -> None:
    states = [without_clock(read_state(RunFolder(folder).state(24))) for folder in (measured, finished_run)]
    for state in states:
        state.pop("recipe")
    assert states[0] == states[1]


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
        (MemoryError(), "MemoryError"),
        (ResourceError("no space left", "Free some."), "no space left"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ZeroDivisionError("division by zero"), "division by zero"),
    ],
)
def test_a_metric_that_fails_does_not_stop_the_run(
    tiny_recipe: MakeRecipe,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    words: str,
) -> None:
    monkeypatch.setattr(in_training_metrics, "evaluate", failing(error))
    state = build_state(tiny_recipe(*EVERY), store.content_hash, CPU)
    state.images_seen = 8
    assert InTrainingMetrics(RunFolder(tmp_path / "run"), state, store, Console()).measure(state) == {}
    said = capsys.readouterr().err
    assert "not measured after 8 images, training goes on: " in said
    assert words in said


@pytest.mark.usefixtures("detector")
def test_a_run_whose_metrics_fail_is_finished(
    tiny_recipe: MakeRecipe,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(in_training_metrics, "evaluate", failing(RuntimeError("out of memory")))
    recipe = tiny_recipe(*EVERY, "train.total=8")
    assert train(recipe, store, tmp_path / "run", CPU, Console(), resume=True).finished
    assert "not measured after 8 images, training goes on: RuntimeError: out of memory" in capsys.readouterr().err


@pytest.mark.usefixtures("detector")
def test_metrics_that_cannot_be_written_do_not_stop_the_run(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, state = tiny_recipe(*EVERY), build_state(tiny_recipe(*EVERY), store.content_hash, CPU)
    folder = RunFolder(tmp_path / "run")
    folder.prepare(recipe)
    folder.metrics.mkdir()
    state.images_seen = 8
    assert InTrainingMetrics(folder, state, store, Console()).measure(state) == {}
    assert "metrics.jsonl" in capsys.readouterr().err


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.usefixtures("detector")
def test_ctrl_c_while_measuring_is_no_failure_and_what_is_missing_is_measured_when_the_run_goes_on(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_training_metrics, "evaluate", failing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            train(tiny_recipe(*EVERY), store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    assert RunFolder(tmp_path / "run").state(8).exists()
    for _ in range(2):
        recipe = tiny_recipe(*EVERY, "train.total=16")
        train(recipe, store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    assert moments(tmp_path / "run") == [8, 16]


@pytest.mark.usefixtures("detector")
def test_measuring_gives_way_to_a_request_to_stop(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = build_state(tiny_recipe(*EVERY), store.content_hash, CPU)
    state.images_seen = 8
    folder = RunFolder(tmp_path / "run")
    folder.prepare(state.recipe)
    measures = InTrainingMetrics(folder, state, store, Console())
    for pictures in (0, 3, 10):  # of the reference, or of the fakes after its ten
        left = iter(range(pictures))
        assert measures.measure(state, lambda left=left: next(left, None) is None) == {}
        assert capsys.readouterr().err == "not measured after 8 images: the next session will measure it\n"
        assert measures.is_missing(8)
    assert measures.measure(state)
    assert not measures.is_missing(8)
    assert not measures.is_missing(12)
    assert not measures.is_missing(0)


def moments(run: Path) -> list[int]:
    return [json.loads(line)["images_seen"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("detector")
def test_the_best_state_is_kept_and_its_model_named(
    tiny_recipe: MakeRecipe,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluate, values = in_training_metrics.evaluate, iter([1.0, 2.0, 3.0])

    def scripted(*arguments: Any, **options: Any) -> object:
        return replace(evaluate(*arguments, **options), values={"fid": next(values)})

    monkeypatch.setattr(in_training_metrics, "evaluate", scripted)
    recipe = tiny_recipe(*EVERY, "run.keep=1")
    train(recipe, store, tmp_path / "run", CPU, Console(), resume=True)
    folder = RunFolder(tmp_path / "run")
    assert folder.states() == [folder.state(24), folder.state(8)]
    assert folder.best(recipe) == (8, 1.0)
    said = capsys.readouterr().err
    assert f"best fid: 1, {folder.model(8)}" in said.replace("\n", " ")
    train(recipe, store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    assert folder.states() == [folder.state(24), folder.state(8)]


def record(images_seen: int, fid: float | None, num: int = 8, content: str = "a", **more: object) -> str:
    protocol = {
        "fakes": {"num": num},
        "reference": {"content_hash": content},
        "detector": {"sha256": "b"},
    }
    values = {"images_seen": images_seen, "metrics": {"fid": fid}, "protocol": protocol, "in_training": True}
    return json.dumps(values | more) + "\n"


@pytest.mark.parametrize(
    ("log", "best"),
    [
        ("", None),
        (record(8, 2.0) + record(16, 1.0) + record(24, 3.0), (16, 1.0)),
        (record(8, float("nan")) + record(16, 2.0) + record(24, float("inf")), (16, 2.0)),
        (record(8, float("nan")), None),
        (record(8, None) + record(16, 2.0) + record(24, None), (16, 2.0)),  # how NaN is written
        (record(8, 1.0) + record(8, 3.0) + record(16, 2.0), (16, 2.0)),  # measured again: the later one counts
        (record(8, 1.0, num=4) + record(16, 2.0), (16, 2.0)),  # with fewer images
        (record(8, 1.0, content="c") + record(16, 2.0), (16, 2.0)),  # against other ones
        (record(8, 2.0) + record(16, 1.0, in_training=False), (8, 2.0)),  # by `swincli evaluate`
        (record(8, 2.0) + record(16, 1.0)[:-30], (8, 2.0)),  # cut short by a kill
        (record(8, 2.0) + "[]\n12\n{}\n" + record(16, 1.0, metrics=None), (8, 2.0)),
        (record(8, 2.0) + record(16, 1.0, metrics={"kid": 1.0}), (8, 2.0)),
    ],
)
def test_the_best_of_what_was_measured(
    tiny_recipe: MakeRecipe, tmp_path: Path, log: str, best: tuple[int, float] | None
) -> None:
    (tmp_path / "metrics.jsonl").write_text(log)
    assert RunFolder(tmp_path).best(tiny_recipe()) == best


def test_more_is_better_where_the_table_says_so(
    tiny_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metrics.jsonl").write_text(record(8, 2.0) + record(16, 3.0) + record(24, 1.0))
    monkeypatch.setitem(registry.METRICS, "fid", replace(registry.METRICS["fid"], higher_is_better=True))
    assert RunFolder(tmp_path).best(tiny_recipe()) == (16, 3.0)
    assert RunFolder(tmp_path).best(tiny_recipe('evaluate.metrics=["other"]')) is None
    assert RunFolder(tmp_path).best(tiny_recipe("evaluate.metrics=[]")) is None


@pytest.mark.parametrize("name", registry.METRICS)
def test_every_metric_says_which_of_its_values_counts(name: str) -> None:
    assert registry.METRICS[name].headline


def test_what_cannot_work_is_said_before_training_starts(
    tiny_recipe: Callable[..., Recipe], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(*EVERY, 'evaluate.metrics=["fidd"]')
    with pytest.raises(UsageError, match='unknown metric "fidd"'):
        train(recipe, store, tmp_path / "a", CPU, Console(quiet=True), resume=True)

    def missing(*_: object) -> Path:
        raise ResourceError("no weights")

    monkeypatch.setattr(in_training_metrics, "find_detector_weights", missing)
    with pytest.raises(ResourceError, match="no weights"):
        train(tiny_recipe(*EVERY), store, tmp_path / "b", CPU, Console(quiet=True), resume=True)
    assert not list(tmp_path.glob("?/stats.jsonl"))

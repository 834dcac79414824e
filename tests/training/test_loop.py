"""Runs: what they leave on the disk, and that stopping and going on changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from same_run import assert_same_run, lines

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import DataError, RecipeError, TrainingError, UsageError
from swincli.recipe import Recipe
from swincli.training import loop
from swincli.training.loop import train
from swincli.training.losses.batch import Batch
from swincli.training.run.finite_checks import check_finite
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state, read_state

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]


def run(recipe: Recipe, store: Store, out: Path, *, resume: bool = True) -> None:
    train(recipe, store, out, CPU, Console(quiet=True), resume=resume)


@pytest.fixture(scope="module")
def all_states(tiny_recipe: MakeRecipe, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that has kept all of its states."""
    out = tmp_path_factory.mktemp("all-states") / "run"
    run(tiny_recipe("run.keep=9"), store, out)
    return out


AUGMENTED = ("augment.flip=true", "loss.bcr_real=1", "loss.bcr_fake=1", "train.decay_from=10")


@pytest.fixture(scope="module")
def augmented(tiny_recipe: MakeRecipe, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run with everything random that a step can have."""
    out = tmp_path_factory.mktemp("augmented") / "run"
    run(tiny_recipe(*AUGMENTED), store, out)
    return out


@pytest.fixture
def copied(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def contents(folder: Path, images: int) -> dict[str, object]:
    return read_state(RunFolder(folder).state(images))


def assert_same(one: object, other: object, where: str = "") -> None:
    """Equal to the last bit, all the way down; what is measured by the clock is left out."""
    if isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys(), where
        for key in one:
            if key not in ("seconds", "recipe"):
                assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor)
        assert torch.equal(one, other), where
    elif isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}/{index}")
    else:
        assert one == other, where


def test_a_run_leaves_what_it_promises(finished_run: Path) -> None:
    out = finished_run
    events = list((out / "tensorboard").iterdir())
    assert events
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file() and path not in events)
    assert names == [
        "environment.txt",
        *(f"model-{images:012d}.safetensors" for images in (0, 8, 16, 24)),
        "reals.png",
        "recipe.toml",
        *(f"samples/fakes-{images:012d}.png" for images in (0, 8, 16, 24)),
        *(f"state-{images:012d}.pt" for images in (16, 24)),
        "stats.jsonl",
    ]
    logged = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    assert [line["images_seen"] for line in logged] == [8, 16, 24]
    assert {"loss/d", "loss/g", "loss/r1", "grad/d", "grad/g", "sec_per_kimg", "g_lr", "memory/cpu"} <= logged[0].keys()
    with Image.open(out / "samples/fakes-000000000024.png") as grid:
        assert grid.size == (32, 32)


def test_training_moves_both_networks_and_the_average(all_states: Path) -> None:
    start, end = contents(all_states, 0), contents(all_states, 24)
    for part in ("generator", "discriminator", "average"):
        assert all(torch.isfinite(value).all() for value in end[part].values())
        moved = [name for name in start[part] if not torch.equal(start[part][name], end[part][name])]
        assert len(moved) > 0.9 * len(start[part])


def test_the_smoke_test_reads_its_images_once(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, plain = [], loop.next_micro_batches

    def next_micro_batches(recipe: Recipe, store: Store, images_seen: int, *others: Any, **named: Any) -> list[Batch]:
        read.append(images_seen)
        return plain(recipe, store, images_seen, *others, **named)

    monkeypatch.setattr(loop, "next_micro_batches", next_micro_batches)
    run(tiny_recipe("train.total=8"), store, tmp_path / "run")
    assert read == [0, 0, 4]


def test_the_smoke_test_leaves_no_trace(tiny_recipe: MakeRecipe, store: Store, all_states: Path) -> None:
    fresh = build_state(tiny_recipe("run.keep=9"), store.content_hash, CPU)
    assert_same(contents(all_states, 0)["generator"], dict(fresh.generator.state_dict()))
    assert contents(all_states, 0)["g_optimizer"]["state"] == {}


@pytest.mark.parametrize("stop_after", [4, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 3))])
def test_stopping_and_going_on_gives_the_same_bits(
    augmented: Path,
    tiny_recipe: MakeRecipe,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: int,
) -> None:
    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_step", dying_after(stop_after))
        with pytest.raises(KeyboardInterrupt):
            run(tiny_recipe(*AUGMENTED), store, broken)
    run(tiny_recipe(*AUGMENTED), store, broken)
    assert_same(contents(augmented, 24), contents(broken, 24))
    assert lines(augmented / "stats.jsonl") == lines(broken / "stats.jsonl")
    grids = [RunFolder(folder).samples(24).read_bytes() for folder in (augmented, broken)]
    assert grids[0] == grids[1]


def dying_after(steps: int) -> Callable[..., object]:
    """`run_step`, which dies as a killed process would at the step after so many."""
    original, done = loop.run_step, 0

    def step(*arguments: object) -> object:
        nonlocal done
        if done == steps:
            raise KeyboardInterrupt
        done += 1
        return original(*arguments)  # type: ignore[arg-type]

    return step


def test_a_finished_run_is_left_as_it_is(tiny_recipe: MakeRecipe, store: Store, copied: Path) -> None:
    before = {path: path.read_bytes() for path in copied.glob("*.pt")}
    run(tiny_recipe(), store, copied)
    assert before == {path: path.read_bytes() for path in copied.glob("*.pt")}


def test_horizons_may_change_and_are_told(
    tiny_recipe: MakeRecipe, store: Store, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_recipe("train.total=28"), store, copied, CPU, Console(), resume=True)
    assert RunFolder(copied).state(28).exists()
    assert "train.total changed from 24 to 28" in capsys.readouterr().err


def test_another_experiment_is_refused_with_every_difference(
    tiny_recipe: MakeRecipe, store: Store, copied: Path
) -> None:
    with pytest.raises(RecipeError) as caught:
        run(tiny_recipe("train.batch=2", "model.g_width=32"), store, copied)
    assert len(caught.value.problems) == 2
    assert "train.batch: 2 now, 4 in the run" in caught.value.message


def test_a_damaged_state_is_named_and_the_one_before_it_used(
    tiny_recipe: MakeRecipe, store: Store, finished_run: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = RunFolder(copied).state(24)
    newest.write_bytes(newest.read_bytes()[:-1000])
    train(tiny_recipe(), store, copied, CPU, Console(), resume=True)
    said = capsys.readouterr().err
    assert "state-000000000024.pt: damaged" in said
    assert "going on from" in said
    assert_same(contents(finished_run, 24), contents(copied, 24))


def test_a_run_in_the_way_is_not_touched_with_resume_never(
    tiny_recipe: MakeRecipe, store: Store, finished_run: Path, copied: Path
) -> None:
    with pytest.raises(UsageError, match="there is a run already"):
        run(tiny_recipe(), store, copied, resume=False)
    assert_same_run(copied, finished_run)


@pytest.mark.parametrize(
    ("override", "message"),
    [("train.batch=11", "10 images are fewer than one batch"), ("model.size=32", "16 px, but model.size is 32")],
)
def test_images_that_do_not_fit(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        run(tiny_recipe(override), store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_numbers_that_are_not_finite_stop_the_run_and_name_the_last_good_state(
    finished_run: Path,
) -> None:
    with pytest.raises(TrainingError, match="loss/g not finite") as caught:
        check_finite(
            {"loss/d": 1.0, "loss/g": float("nan")}, {"loss/d": "D", "loss/g": "G"}, 0, RunFolder(finished_run)
        )
    assert caught.value.hint is not None
    assert "state-000000000024.pt" in caught.value.hint

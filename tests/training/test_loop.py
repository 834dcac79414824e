"""Runs: what they leave on the disk, and that stopping and going on changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import DataError, RecipeError, TrainingError, UsageError
from swincli.recipe import Recipe
from swincli.training import loop
from swincli.training.loop import check_finite, train
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state, read_state

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]


def run(recipe: Recipe, store: Store, out: Path, *, resume: bool = True) -> None:
    train(recipe, store, out, CPU, Console(quiet=True), resume=resume)


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


def test_a_run_leaves_what_it_promises(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(tiny_recipe(), store, out)
    logged = list((out / "tensorboard").iterdir())
    assert logged
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file() and path not in logged)
    assert names == [
        *(f"model-{images:012d}.safetensors" for images in (0, 8, 16, 24)),
        "reals.png",
        "recipe.toml",
        *(f"samples/fakes-{images:012d}.png" for images in (0, 8, 16, 24)),
        *(f"state-{images:012d}.pt" for images in (16, 24)),
        "stats.jsonl",
    ]
    lines = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    assert [line["images_seen"] for line in lines] == [8, 16, 24]
    assert {"loss/d", "loss/g", "loss/r1", "grad/d", "grad/g", "sec_per_kimg", "g_lr", "memory/cpu"} <= lines[0].keys()
    with Image.open(out / "samples/fakes-000000000024.png") as grid:
        assert grid.size == (32, 32)


def test_training_moves_both_networks_and_the_average(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    run(tiny_recipe("run.keep=9"), store, tmp_path / "run")
    start, end = contents(tmp_path / "run", 0), contents(tmp_path / "run", 24)
    for part in ("generator", "discriminator", "average"):
        assert all(torch.isfinite(value).all() for value in end[part].values())
        moved = [name for name in start[part] if not torch.equal(start[part][name], end[part][name])]
        assert len(moved) > 0.9 * len(start[part])


def test_the_rehearsal_leaves_no_trace(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    run(tiny_recipe("run.keep=9"), store, tmp_path / "run")
    fresh = build_state(tiny_recipe("run.keep=9"), store.content_hash, CPU)
    assert_same(contents(tmp_path / "run", 0)["generator"], dict(fresh.generator.state_dict()))
    assert contents(tmp_path / "run", 0)["g_optimizer"]["state"] == {}


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_stopping_and_going_on_gives_the_same_bits(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    overrides = ["augment.flip=true", "loss.bcr_real=1", "loss.bcr_fake=1", "train.decay_from=10"]
    run(tiny_recipe(*overrides), store, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_step", dying_after(stop_after))
        with pytest.raises(KeyboardInterrupt):
            run(tiny_recipe(*overrides), store, tmp_path / "broken")
    run(tiny_recipe(*overrides), store, tmp_path / "broken")
    assert_same(contents(tmp_path / "whole", 24), contents(tmp_path / "broken", 24))
    logs = [
        [
            {key: value for key, value in json.loads(line).items() if not key.startswith(("sec", "memory"))}
            for line in (tmp_path / name / "stats.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "broken")
    ]
    assert logs[0] == logs[1]
    assert (tmp_path / "whole/samples/fakes-000000000024.png").read_bytes() == (
        tmp_path / "broken/samples/fakes-000000000024.png"
    ).read_bytes()


def dying_after(steps: int) -> Callable[..., dict[str, float]]:
    """`run_step`, which dies as a killed process would at the step after so many."""
    original, done = loop.run_step, 0

    def step(*arguments: object) -> dict[str, float]:
        nonlocal done
        if done == steps:
            raise KeyboardInterrupt
        done += 1
        return original(*arguments)  # type: ignore[arg-type]

    return step


def test_a_finished_run_is_left_as_it_is(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    run(tiny_recipe(), store, tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").glob("*.pt")}
    run(tiny_recipe(), store, tmp_path / "run")
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").glob("*.pt")}


def test_horizons_may_change_and_are_told(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tiny_recipe(), store, tmp_path / "run")
    train(tiny_recipe("train.total=32"), store, tmp_path / "run", CPU, Console(), resume=True)
    assert RunFolder(tmp_path / "run").state(32).exists()
    assert "train.total changed from 24 to 32" in capsys.readouterr().err


def test_another_experiment_is_refused_with_every_difference(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path
) -> None:
    run(tiny_recipe(), store, tmp_path / "run")
    with pytest.raises(RecipeError) as caught:
        run(tiny_recipe("train.batch=2", "model.g_width=32"), store, tmp_path / "run")
    assert len(caught.value.problems) == 2
    assert "train.batch: 2 now, 4 in the run" in caught.value.message


def test_a_damaged_state_is_named_and_the_one_before_it_used(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tiny_recipe(), store, tmp_path / "whole")
    run(tiny_recipe(), store, tmp_path / "run")
    newest = RunFolder(tmp_path / "run").state(24)
    newest.write_bytes(newest.read_bytes()[:-1000])
    train(tiny_recipe(), store, tmp_path / "run", CPU, Console(), resume=True)
    said = capsys.readouterr().err
    assert "state-000000000024.pt: damaged" in said
    assert "going on from" in said
    assert_same(contents(tmp_path / "whole", 24), contents(tmp_path / "run", 24))


def test_a_run_in_the_way_is_not_touched_with_resume_never(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path
) -> None:
    run(tiny_recipe(), store, tmp_path / "run")
    with pytest.raises(UsageError, match="there is a run already"):
        run(tiny_recipe(), store, tmp_path / "run", resume=False)


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
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path
) -> None:
    run(tiny_recipe(), store, tmp_path / "run")
    state = build_state(tiny_recipe(), store.content_hash, CPU)
    with pytest.raises(TrainingError, match="loss/g not finite") as caught:
        check_finite(
            {"loss/d": 1.0, "loss/g": float("nan")}, {"loss/d": "D", "loss/g": "G"}, state, RunFolder(tmp_path / "run")
        )
    assert caught.value.hint is not None
    assert "state-000000000024.pt" in caught.value.hint

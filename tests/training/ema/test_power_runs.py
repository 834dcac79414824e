"""Runs that keep power-function averages: what they are, and that stopping and going on changes no bit of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import CheckpointError, RecipeError
from swincli.recipe import Recipe
from swincli.training.ema.power_profiles import power_ema_decay
from swincli.training.loop import train
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state, read_state, restore

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
POWER = ("ema.power=[0.05, 0.1]", "ema.power_every=8", "run.snapshot=12", "run.keep=9")


def run(recipe: Recipe, store: Store, out: Path) -> None:
    train(recipe, store, out, CPU, Console(quiet=True), resume=True)


def snapshots(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "averages").iterdir()}


def test_a_run_keeps_snapshots_when_they_are_due_and_at_its_end(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path
) -> None:
    run(tiny_recipe(*POWER, "train.total=28"), store, tmp_path / "run")
    assert sorted(snapshots(tmp_path / "run")) == [
        f"power-{width}-{images:012d}.safetensors" for width in ("0.05", "0.1") for images in (8, 16, 24, 28)
    ]


def test_averages_of_a_run_are_the_formula(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    run(tiny_recipe(*POWER, "run.snapshot=4"), store, tmp_path / "run")
    contents = {images: read_state(RunFolder(tmp_path / "run").state(images)) for images in range(0, 25, 4)}
    for number, width in enumerate((0.05, 0.1)):
        shares: list[float] = []
        for images in range(4, 25, 4):
            decay = power_ema_decay(images, 4, width)
            shares = [share * decay for share in shares] + [1 - decay]
        for name, value in contents[24]["power"][number].items():
            moments = [contents[images]["generator"][name].double() for images in range(4, 25, 4)]
            wanted = sum(share * moment for share, moment in zip(shares, moments, strict=True))
            torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=1e-6)


def test_going_on_from_any_state_gives_the_same_bits(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    run(tiny_recipe(*POWER), store, tmp_path / "whole")
    run(tiny_recipe(*POWER), store, tmp_path / "broken")
    folder = RunFolder(tmp_path / "broken")
    folder.state(24).unlink()  # as if it had been killed before its last save: it goes on from 12 images
    written = snapshots(tmp_path / "broken")
    for name in written:
        if "16" in name or "24" in name:
            (tmp_path / "broken" / "averages" / name).write_bytes(b"to be written again")
    run(tiny_recipe(*POWER), store, tmp_path / "broken")
    assert snapshots(tmp_path / "broken") == written == snapshots(tmp_path / "whole")
    one, two = (read_state(RunFolder(tmp_path / name).state(24))["power"] for name in ("whole", "broken"))
    for mine, theirs in zip(one, two, strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_averages_do_not_touch_training(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    run(tiny_recipe(*POWER), store, tmp_path / "with")
    run(tiny_recipe("run.snapshot=12"), store, tmp_path / "without")
    one, two = (read_state(RunFolder(tmp_path / name).state(24)) for name in ("with", "without"))
    assert two["power"] == []
    for part in ("generator", "discriminator", "average"):
        assert all(torch.equal(one[part][name], two[part][name]) for name in one[part])


def test_other_widths_make_another_run(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    run(tiny_recipe(*POWER), store, tmp_path / "run")
    with pytest.raises(RecipeError, match=r"ema\.power: \[0\.05, 0\.2\] now, \[0\.05, 0\.1\] in the run"):
        run(tiny_recipe(*POWER, "ema.power=[0.05, 0.2]"), store, tmp_path / "run")
    run(tiny_recipe(*POWER, "ema.power_every=4", "train.total=32"), store, tmp_path / "run")
    assert "power-0.05-000000000028.safetensors" in snapshots(tmp_path / "run")


def test_a_state_without_them_does_not_fit(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    run(tiny_recipe(*POWER), store, tmp_path / "run")
    state, content = build_state(tiny_recipe(*POWER), "hash", CPU), read_state(RunFolder(tmp_path / "run").state(24))
    restore(state, copy.copy(content))
    assert torch.equal(state.power[1].constant, content["power"][1]["constant"])
    del content["power"][1]
    with pytest.raises(CheckpointError, match="does not fit"):
        restore(state, content)

"""Runs that keep power-function averages: what they are, and that stopping and going on changes no bit of them."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from quiet_runs import run

from swincli.data.store.reader import Store
from swincli.errors import CheckpointError, RecipeError
from swincli.recipe import Recipe
from swincli.training.ema.power_profiles import power_ema_decay
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state, read_state, restore

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
POWER = ("ema.power=[0.05, 0.1]", "ema.power_every=8", "run.snapshot=4", "run.keep=9")


@pytest.fixture(scope="module")
def power_run(tiny_recipe: MakeRecipe, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run of 24 images with averages of two widths and all of its states."""
    out = tmp_path_factory.mktemp("power") / "run"
    run(tiny_recipe(*POWER), store, out)
    return out


@pytest.fixture
def copied(power_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(power_run, tmp_path / "run"))


def snapshots(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "averages").iterdir()}


def test_a_run_keeps_snapshots_when_they_are_due_and_at_its_end(
    tiny_recipe: MakeRecipe, store: Store, power_run: Path, copied: Path
) -> None:
    assert sorted(snapshots(power_run)) == [
        f"power-{width}-{images:012d}.safetensors" for width in ("0.05", "0.1") for images in (8, 16, 24)
    ]
    run(tiny_recipe(*POWER, "train.total=28"), store, copied)
    assert sorted(snapshots(copied)) == [
        f"power-{width}-{images:012d}.safetensors" for width in ("0.05", "0.1") for images in (8, 16, 24, 28)
    ]


def test_averages_of_a_run_are_the_formula(power_run: Path) -> None:
    contents = {images: read_state(RunFolder(power_run).state(images)) for images in range(0, 25, 4)}
    for number, width in enumerate((0.05, 0.1)):
        shares: list[float] = []
        for images in range(4, 25, 4):
            decay = power_ema_decay(images, 4, width)
            shares = [share * decay for share in shares] + [1 - decay]
        for name, value in contents[24]["power"][number].items():
            moments = [contents[images]["generator"][name].double() for images in range(4, 25, 4)]
            wanted = sum(share * moment for share, moment in zip(shares, moments, strict=True))
            torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=1e-6)


def test_going_on_from_any_state_gives_the_same_bits(
    tiny_recipe: MakeRecipe, store: Store, power_run: Path, copied: Path
) -> None:
    for images in (16, 20, 24):  # as if it had been killed before these saves: it goes on from 12 images
        RunFolder(copied).state(images).unlink()
    for name in snapshots(copied):
        if "16" in name or "24" in name:
            (copied / "averages" / name).write_bytes(b"to be written again")
    run(tiny_recipe(*POWER), store, copied)
    assert snapshots(copied) == snapshots(power_run)
    one, two = (read_state(RunFolder(folder).state(24))["power"] for folder in (power_run, copied))
    for mine, theirs in zip(one, two, strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_averages_do_not_touch_training(power_run: Path, finished_run: Path) -> None:
    one, two = (read_state(RunFolder(folder).state(24)) for folder in (power_run, finished_run))
    assert two["power"] == []
    for part in ("generator", "discriminator", "average"):
        assert all(torch.equal(one[part][name], two[part][name]) for name in one[part])


def test_other_widths_make_another_run(tiny_recipe: MakeRecipe, store: Store, copied: Path) -> None:
    with pytest.raises(RecipeError, match=r"ema\.power: \[0\.05, 0\.2\] now, \[0\.05, 0\.1\] in the run"):
        run(tiny_recipe(*POWER, "ema.power=[0.05, 0.2]"), store, copied)
    run(tiny_recipe(*POWER, "ema.power_every=4", "train.total=32"), store, copied)
    assert "power-0.05-000000000028.safetensors" in snapshots(copied)


def test_a_state_without_them_does_not_fit(tiny_recipe: MakeRecipe, power_run: Path) -> None:
    state, content = build_state(tiny_recipe(*POWER), "hash", CPU), read_state(RunFolder(power_run).state(24))
    restore(state, copy.copy(content))
    assert torch.equal(state.power[1].constant, content["power"][1]["constant"])
    del content["power"][1]
    with pytest.raises(CheckpointError, match="does not fit"):
        restore(state, content)

"""Whole runs with switches that remember: killed, resumed, used as the start of other runs, and projected with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dying_runs import dies_after
from loss_switches import COMBINED, keys_of
from quiet_runs import run
from same_run import assert_same_run

from swincli.commands.perception import find_discriminator
from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.model.files.model_file import load_model
from swincli.recipe import Recipe
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state
from swincli.training.transfer.init_from import init_from_checkpoint

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
[REMEMBERING] = [names for names in COMBINED if "mee entropy" in names]
HEADS = ("augment.transforms=diffaugment", "loss.augself_d=1", "run.tensorboard=false")


@pytest.mark.parametrize(
    ("names", "total"),
    [
        pytest.param((*REMEMBERING, "path length"), 12, marks=pytest.mark.slow, id="remembering"),
        *(pytest.param(names, 24, marks=pytest.mark.slow, id=names[0]) for names in COMBINED if names != REMEMBERING),
    ],
)
def test_a_killed_run_ends_as_an_unbroken_one(
    tiny_recipe: MakeRecipe,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    total: int,
) -> None:
    """The last state is that of 8 images; longer runs die a step after it."""
    recipe = tiny_recipe(*keys_of(names), "run.tensorboard=false", f"train.total={total}")
    run(recipe, store, tmp_path / "whole")
    with dies_after(max(2, total // 8), monkeypatch):
        run(recipe, store, tmp_path / "broken")
    run(recipe, store, tmp_path / "broken")
    assert_same_run(tmp_path / "broken", tmp_path / "whole")


@pytest.fixture(scope="module")
def run_with_heads(tiny_recipe: MakeRecipe, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("heads") / "run"
    run(tiny_recipe(*HEADS, "train.total=8"), store, out)
    return out


def test_a_run_with_heads_starts_one_without(
    tiny_recipe: MakeRecipe, store: Store, run_with_heads: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = build_state(tiny_recipe("train.total=40"), store.content_hash, CPU)
    init_from_checkpoint(state, str(run_with_heads), Console())
    assert state.images_seen == 8
    assert "untrained" not in capsys.readouterr().err


def test_a_run_without_heads_starts_one_with_them(
    tiny_recipe: MakeRecipe, store: Store, trained_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = build_state(tiny_recipe(*HEADS, "train.total=40"), store.content_hash, CPU)
    init_from_checkpoint(state, str(trained_run), Console())
    assert f"not in {RunFolder(trained_run).state(8)}: D's augself start untrained" in capsys.readouterr().err
    assert state.images_seen == 8


def test_a_discriminator_with_heads_compares_pictures(run_with_heads: Path) -> None:
    model = load_model(RunFolder(run_with_heads).model(8), CPU)
    assert find_discriminator(model, Console(quiet=True)) is not None

"""Runs that go on from a state with losses that remember features, or that run every n-th step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import RecipeError
from swincli.recipe import Recipe
from swincli.training.loop import train
from swincli.training.run.state import TrainingState, build_state, save_state
from swincli.training.transfer.init_from import check_init, init_from_checkpoint

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]


def started(recipe: Recipe) -> TrainingState:
    state = build_state(recipe, "hash", CPU)
    init_from_checkpoint(state, recipe.train.init or "", Console(quiet=True))
    return state


def test_another_number_of_features_is_refused_with_its_key(tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    entropy, path = ("loss.mee_entropy=0.1", "train.total=40"), tmp_path / "state.pt"
    save_state(path, build_state(tiny_recipe(*entropy, "loss.mee_buffer=20"), "hash", CPU))
    other = tiny_recipe(*entropy, "loss.mee_buffer=24", f"train.init={path}")
    for start in (started, lambda recipe: check_init(recipe, Console(quiet=True))):
        with pytest.raises(RecipeError, match=r"loss\.mee_buffer \(--set\): 24 here, 20 in ") as error:
            start(other)
        assert "--set loss.mee_buffer=20" in str(error.value.hint)
    keys = (f"train.init={path}", "train.total=40")
    for accepted in (
        (*keys, "loss.mee_buffer=24"),
        (*keys, *entropy, "loss.mee_buffer=24", "train.init_mode=fine-tune"),
    ):
        started(tiny_recipe(*accepted))


def test_a_run_goes_on_between_two_lazy_phases(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    """The test step at its start runs every phase, due or not."""
    lazy = ("augment.transforms=diffaugment", "loss.r1_interval=3", "loss.path_length=2", "loss.path_length_interval=3")
    saved, path = build_state(tiny_recipe(*lazy), "hash", CPU), tmp_path / "state.pt"
    saved.images_seen = 4
    save_state(path, saved)
    recipe = tiny_recipe(*lazy, f"train.init={path}", "train.batch=4", "train.total=12")
    result = train(recipe, store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    assert (result.images_seen, result.finished) == (12, True)

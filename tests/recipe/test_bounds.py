"""What no machine can do is refused with its key, by `recipe validate` too."""

from __future__ import annotations

import pytest

from swincli.errors import RecipeError
from swincli.recipe import load_recipe
from swincli.recipe.shipped import shipped_recipes


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("model.g_width=1048576", "model.g_width: gives G 1048576 channels at 4 px; 65,536 is the most"),
        ("model.d_width=1000000", "model.d_width: gives D 1000000 channels"),
        ("model.g_multiplier=1000000", "gives G"),
        ("model.latent_dim=10000000", "model.latent_dim (--set): must be at most 65536, not 10000000"),
        ("model.mapping_layers=1000000000", "model.mapping_layers (--set): must be at most 1000"),
        ("model.features_side=2048", "model.features_side (--set): must be at most 1024, not 2048"),
        ("model.mlp_ratio=100000", "model.mlp_ratio (--set): must be at most 256"),
        ("model.classes=1000000000", "model.classes (--set): must be at most 1000000"),
        ("train.total=100000000000000000000", "train.total (--set): must be at most 1,000,000,000,000,000"),
        ("train.total=10000000B", "train.total"),
        ("evaluate.num=100000000000000000000", "evaluate.num (--set): must be at most 4,294,967,296"),
        ("run.grid=[100000, 100000]", "run.grid (--set): 100,000 x 100,000 images of 256 px are no picture"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_key(override: str, problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("ffhq256", [override])
    assert problem.replace(" (--set)", "") in caught.value.message.replace(" (--set)", "")


def test_metrics_are_needed_only_where_something_is_measured() -> None:
    with pytest.raises(RecipeError, match=r"evaluate.metrics \(--set\): is empty, but evaluate.every is set"):
        load_recipe("ffhq256", ["evaluate.metrics=[]", "evaluate.every=200k"])
    assert load_recipe("ffhq256", ["evaluate.metrics=[]", "evaluate.every=0"]).evaluate.metrics == []


@pytest.mark.parametrize("name", shipped_recipes())
def test_recipes_much_larger_than_any_of_today_are_taken(name: str) -> None:
    load_recipe(name, ["train.total=100B", "run.grid=[30, 30]", "run.snapshot=1000000B", "evaluate.num=4B"])

"""Dealing out a batch: to whom, in how many micro-batches, and what cannot be parted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.errors import RecipeError
from swincli.model.discriminators.epilogue import append_minibatch_std, deviation_group
from swincli.recipe import Recipe
from swincli.training.step.batch_shards import BatchSplit, split_batch

MakeRecipe = Callable[..., Recipe]


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
def test_every_image_is_seen_once_and_judged_with_the_same_others(
    group: int, processes: int, micro_batches: int, columns: int
) -> None:
    batch = group * processes * micro_batches * columns
    group = deviation_group(batch, group)
    split = BatchSplit(batch, group, processes, micro_batches)
    features = torch.randn(batch, 2, 4, 4, dtype=torch.float64)
    whole = append_minibatch_std(features, group)
    seen = []
    for rank in range(processes):
        mine = split.rank_indices(rank)
        for part in split.micro_batch_slices():
            positions = mine[part]
            assert len(positions) == split.micro_batch_size
            torch.testing.assert_close(append_minibatch_std(features[positions], group), whole[positions])
            seen += positions.tolist()
    assert sorted(seen) == list(range(batch))


@pytest.mark.parametrize(
    ("batch", "micro_batch", "processes", "micro_batches"),
    [(32, None, 1, 1), (32, None, 8, 1), (32, 4, 1, 8), (32, 4, 8, 1), (32, 12, 2, 2), (32, 100, 2, 1), (24, 9, 1, 3)],
)
def test_a_pass_takes_as_much_as_it_may(
    tiny_recipe: MakeRecipe, batch: int, micro_batch: int | None, processes: int, micro_batches: int
) -> None:
    limit = "null" if micro_batch is None else micro_batch
    split = split_batch(tiny_recipe(f"train.batch={batch}", f"run.micro_batch={limit}"), processes)
    assert split == BatchSplit(batch, 4, processes, micro_batches)
    assert split.per_rank * processes == batch


def test_patches_have_no_groups(tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe("train.batch=6", "run.micro_batch=1", "model.discriminator=patch")
    assert split_batch(recipe, 2) == BatchSplit(6, 1, 2, 3)


@pytest.mark.parametrize(
    ("overrides", "processes", "message", "hint"),
    [
        (["train.batch=32"], 3, "cannot be split over 3 processes", "1 or 2 or 4 or 8 processes"),
        (["train.batch=32"], 16, "in groups of 4 (model.std_group) cannot be split over 16", "1 or 2 or 4 or 8"),
        (["run.micro_batch=2"], 1, "run.micro_batch: 2, but D compares groups of 4", "run.micro_batch=4"),
        (["model.style=adabn", "train.batch=8"], 2, "model.style: adabn", "in one process"),
        (["loss.top_k=0.9", "train.batch=8"], 2, "loss.top_k: 0.9 takes the best fakes", "in one process"),
        (["loss.mee_entropy=1", "train.batch=8"], 2, "loss.mee_entropy: 1.0 takes the logarithm", "in one process"),
    ],
)
def test_what_belongs_together_is_not_parted(
    tiny_recipe: MakeRecipe, overrides: list[str], processes: int, message: str, hint: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        split_batch(tiny_recipe(*overrides), processes)
    assert message in caught.value.message
    assert caught.value.hint is not None
    assert hint in caught.value.hint


def test_heads_on_features_have_groups_of_batch_norm(tiny_recipe: MakeRecipe) -> None:
    """A smaller model.std_group would change nothing, so it is not proposed."""
    features = ["model.size=32", "loss.features=1", "train.batch=16"]
    with pytest.raises(RecipeError, match=r"groups of 8 images .batch norm of the heads on features") as caught:
        split_batch(tiny_recipe(*features, "run.micro_batch=4"), 1)
    assert caught.value.hint == "Set run.micro_batch=8 or more."
    wide = [*features, "model.std_group=16"]
    with pytest.raises(RecipeError, match=r"groups of 16 images .model.std_group") as caught:
        split_batch(tiny_recipe(*wide, "run.micro_batch=8"), 1)
    assert caught.value.hint == "Set run.micro_batch=16 or more, or train with model.std_group=8 from the start."
    assert split_batch(tiny_recipe(*wide, "run.micro_batch=8", "model.std_group=8"), 1).micro_batches == 2


def test_smaller_groups_allow_smaller_shares(tiny_recipe: MakeRecipe) -> None:
    assert split_batch(tiny_recipe("train.batch=16", "model.std_group=2"), 8) == BatchSplit(16, 2, 8, 1)

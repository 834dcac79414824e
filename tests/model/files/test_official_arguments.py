"""The EMA section that follows from the arguments of an original checkpoint."""

from __future__ import annotations

import pytest

from swincli.model.files.official.arguments import recipe_of
from swincli.recipe.schema import ModelSection
from swincli.training.schedules import ema_decay

RELEASE = 0.5 ** (32 / 10_000)  # per step, for every batch size


@pytest.mark.parametrize(("batch", "half_life"), [(4, 1_250), (32, 10_000), (64, 20_000)])
def test_the_constant_decay_is_a_half_life_in_images(batch: int, half_life: int) -> None:
    recipe = recipe_of({"batch": batch}, ModelSection(), 0)
    assert (recipe.ema.half_life, recipe.ema.decay) == (half_life, None)
    assert ema_decay(10**6, batch, recipe.ema) == pytest.approx(RELEASE, rel=1e-12)


def test_where_that_is_no_whole_number_it_stays_a_decay() -> None:
    recipe = recipe_of({"batch": 3}, ModelSection(), 0)
    assert recipe.train.batch == 3
    assert recipe.ema.decay == RELEASE
    assert ema_decay(10**6, 3, recipe.ema) == RELEASE

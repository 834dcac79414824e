"""The scalars that the live view expects are those that the steps report."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from loss_switches import COMBINED, Steps, keys_of

from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.training.logging.live_view import _WORDS
from swincli.training.logging.report import reported_scalars


@pytest.mark.parametrize("names", COMBINED, ids=lambda names: names[0])
def test_what_is_expected_is_reported(tiny_recipe: Callable[..., Recipe], store: Store, names: tuple[str, ...]) -> None:
    recipe = tiny_recipe("train.total=400", *keys_of(names), "loss.lecam_from=0")
    [scalars] = Steps(recipe, store).run(1)
    expected = reported_scalars(recipe)
    assert {name for name in expected if name.startswith("loss/")} == {
        name for name in scalars if name.startswith("loss/")
    }
    assert [name for name in expected if name not in _WORDS and not name.startswith("augment/")] == []

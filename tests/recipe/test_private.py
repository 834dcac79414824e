"""What a recipe that is handed on leaves out, and what it says of a machine."""

from __future__ import annotations

import pytest

from swincli.recipe import Recipe, dump_recipe
from swincli.recipe.loading import parse_recipe
from swincli.recipe.private import dump_public_recipe, has_private_keys, machine_places, without_private_keys

PRIVATE = '[run]\nname = "a"\nmirror = "~/copies"\non_event = "curl https://ntfy.sh/secret"\n'


def test_private_keys_are_left_out_and_nothing_else() -> None:
    recipe = parse_recipe(PRIVATE, "a recipe")
    plain = parse_recipe('[run]\nname = "a"\n', "a recipe")
    assert has_private_keys(recipe)
    assert without_private_keys(recipe) == plain
    assert dump_public_recipe(recipe) == dump_recipe(plain)
    assert recipe.run.on_event == "curl https://ntfy.sh/secret"
    assert without_private_keys(plain) is plain
    assert not has_private_keys(plain)


@pytest.mark.parametrize("place", ["/data/faces", "C:\\faces", "c:/faces", "\\\\server\\faces", "~/faces", "~me/faces"])
def test_places_on_a_machine(place: str) -> None:
    recipe = parse_recipe(f"[train]\ninit = '{place}'\n[loss]\nrepel_models = ['runs/a', '{place}']\n", "a recipe")
    assert machine_places(recipe) == {"train.init": place, "loss.repel_models": place}


@pytest.mark.parametrize("place", ["datasets/faces", "hf:me/cats@main/a.pt", "builtin:cats32", "runs/a b"])
def test_places_that_mean_something_elsewhere(place: str) -> None:
    assert machine_places(parse_recipe(f"[train]\ninit = '{place}'\n[data]\npath = '{place}'\n", "a recipe")) == {}
    assert machine_places(Recipe()) == {}

"""How a recipe differs from the defaults, and from the recipe that it most resembles."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from swincli.errors import RecipeError
from swincli.recipe import Recipe, load_recipe
from swincli.recipe.private import PRIVATE_KEYS
from swincli.recipe.shipped import shipped_recipes

_LEFT_OUT = ("data.path", "data.source", *(f"run.{key}" for key in PRIVATE_KEYS))
"""Keys that say where images are and not what is trained, and those that are never handed on."""


@dataclass(frozen=True)
class Change:
    """A key whose value differs.

    Attributes:
        key: `section.key`.
        value: The recipe's value.
        other: The value that it is compared with.
    """

    key: str
    value: str
    other: str


@dataclass(frozen=True)
class RecipeChanges:
    """A recipe beside others.

    Attributes:
        defaults: Keys that differ from the defaults.
        base: Name of the recipe that it is compared with; None if there is none.
        from_base: Keys that differ from it.
        is_guessed: Whether the base is the shipped recipe with the fewest differences: a run does not note its own.
    """

    defaults: list[Change]
    base: str | None
    from_base: list[Change]
    is_guessed: bool


def recipe_changes(recipe: Recipe, base: str | None = None) -> RecipeChanges:
    """Compare a recipe with the defaults, and with a base.

    Args:
        recipe: The resolved recipe of a run.
        base: Path or name of a recipe; None for the shipped one with the fewest differences.

    Raises:
        RecipeError: the base cannot be read.
    """
    defaults = differences(recipe, Recipe())
    if base is not None:
        return RecipeChanges(defaults, base, differences(recipe, load_recipe(base)), is_guessed=False)
    found = {name: differences(recipe, other) for name, other in _shipped().items()}
    nearest = min(found, key=lambda name: len(found[name]), default=None)
    if nearest is None or len(found[nearest]) >= len(defaults):
        return RecipeChanges(defaults, None, [], is_guessed=True)
    return RecipeChanges(defaults, nearest, found[nearest], is_guessed=True)


def differences(recipe: Recipe, other: Recipe) -> list[Change]:
    """Keys whose values differ, in the order of the recipe; where the images are, and private keys, do not count."""
    mine, theirs = _flat(recipe), _flat(other)
    keys = [key for key in mine if mine[key] != theirs.get(key) and key not in _LEFT_OUT]
    return [Change(key, _text(mine[key]), _text(theirs.get(key))) for key in keys]


@functools.cache
def _shipped() -> dict[str, Recipe]:
    """The shipped recipes; one of a later version is left out."""
    found = {}
    for name in shipped_recipes():
        try:
            found[name] = load_recipe(name)
        except RecipeError:
            continue
    return found


def _flat(recipe: Recipe) -> dict[str, Any]:
    sections = recipe.model_dump(mode="json")
    return {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}={_text(entry)}" for key, entry in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)

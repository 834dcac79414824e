"""What a recipe says of its owner and not of the experiment: keys that are never handed on, and places on a machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PureWindowsPath
from typing import Any, Final

from swincli.recipe.loading import dump_recipe
from swincli.recipe.schema import Recipe

PRIVATE_KEYS: Final = ("mirror", "on_event")
"""Keys of [run] that only the run folder and its training states hold: a command may name a secret address."""


def has_private_keys(recipe: Recipe) -> bool:
    """Whether a recipe has one."""
    return any(getattr(recipe.run, key) is not None for key in PRIVATE_KEYS)


def without_private_keys(recipe: Recipe) -> Recipe:
    """The recipe as it is handed on, in model files, cards, reports and exports; the same one if it has no such key."""
    if not has_private_keys(recipe):
        return recipe
    return recipe.model_copy(update={"run": recipe.run.model_copy(update=dict.fromkeys(PRIVATE_KEYS))})


def dump_public_recipe(recipe: Recipe) -> str:
    """`dump_recipe` without the private keys."""
    return dump_recipe(without_private_keys(recipe))


def machine_places(recipe: Recipe) -> dict[str, str]:
    """Files and folders that mean something on one machine only: absolute paths, also of Windows and of `~`, by key."""
    sections = recipe.model_dump(mode="json")
    return {
        f"{section}.{key}": text
        for section, keys in sections.items()
        for key, value in keys.items()
        for text in _texts(value)
        if _is_absolute(text)
    }


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)


def _is_absolute(text: str) -> bool:
    path = PureWindowsPath(text)
    return bool(path.drive or path.root) or text.startswith("~")

"""The credit of training images: author and licence, from the store that a recipe names or from its built-in source."""

from __future__ import annotations

from pathlib import Path

from swincli.data.sources.builtin import known_credit
from swincli.data.store.manifest import read_manifest
from swincli.errors import DataError
from swincli.recipe import Recipe


def training_credit(recipe: Recipe) -> str | None:
    """Author and licence of a recipe's training images; None where nobody said.

    The store says most: with versions, and for pictures of others too. Where it has gone, or is of another source than
    the recipe's, the source is asked; of those, swincli knows the built-in ones.
    """
    source = recipe.data.source
    stored, credit = _of_store(recipe.data.path)
    if credit is not None and source in (None, stored):
        return credit
    return None if source is None else known_credit(source)


def _of_store(path: str | None) -> tuple[str | None, str | None]:
    """Source and credit of a store; None and None if there is none."""
    if path is None:
        return None, None
    try:
        manifest = read_manifest(Path(path))
    except DataError:
        return None, None
    return manifest.source, manifest.credit

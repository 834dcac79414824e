"""`swincli.load_store` and `swincli.load_recipe`: what commands read, as Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from swincli import recipe
from swincli.data.store.reader import Store
from swincli.recipe import Recipe


def load_store(path: str | PathLike[str]) -> Store:
    """A store of images, as `swincli prepare-data` writes it.

    `len(store)` counts its images. `store.fetch(indices)` reads some of them as uint8 `[N, H, W, 3]`. `store.labels` is
    int64 `[N]` or None. `store.manifest` says how the store was made.

    Raises:
        DataError: no store, a file missing or cut short; names the file.
    """
    return Store.open(str(path))


def load_recipe(name: str | PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by path or shipped name, with everything that it extends.

    Args:
        name: Path of a TOML file, or the name of a shipped recipe such as "quickstart".
        overrides: `section.key=value` each, as `--set` takes them.

    Raises:
        RecipeError: the file is missing, is no TOML, or breaks the schema; lists every problem.
        UsageError: an override that is not of this form.
    """
    return recipe.load_recipe(str(name), overrides)

"""Load recipes: TOML files, `extends`, overrides and validation. An error lists all problems with key and line.

Precedence: defaults < extended recipe < recipe < --set < flags (passed as the last overrides).
"""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
from pydantic import ValidationError

from swincli.errors import RecipeError, UsageError, did_you_mean
from swincli.recipe.by_resolution import DEFAULT
from swincli.recipe.networks import ModelSection
from swincli.recipe.origins import key_with_line
from swincli.recipe.positions import key_lines
from swincli.recipe.problems import explain
from swincli.recipe.schema import Recipe
from swincli.recipe.shipped import find_recipe, find_shipped, is_stream, shipped_recipes

Tree = dict[str, Any]
_MISSING_HINT = "`swincli recipe list` names the shipped recipes."
LONGEST_CHAIN = 100  # recipes that extend each other


class LoadedRecipe(NamedTuple):
    """A recipe, and what its files say in vain.

    Attributes:
        recipe: The recipe.
        warnings: Texts of the form `section.key: reason`.
    """

    recipe: Recipe
    warnings: list[str]


class _Chain(NamedTuple):
    """A file merged with the recipes it extends.

    Attributes:
        tree: Its sections.
        lines: The file and line that set each key.
        replaced: Values of [model] in whose place a recipe above has a table, by key.
        files: The file, and those of the recipes it extends.
    """

    tree: Tree
    lines: dict[str, str]
    replaced: Tree
    files: tuple[Path, ...]


def load_recipe(name: str, overrides: Sequence[str] = (), text: str | None = None) -> Recipe:
    """Read a recipe by path or shipped name, with the recipes it extends and the overrides.

    Args:
        name, overrides, text: As of `load_with_warnings`.

    Raises:
        RecipeError: the file is missing, is not TOML, extends itself, or violates the schema; lists all problems.
        UsageError: an override is not of the form `section.key=value`.
    """
    return load_with_warnings(name, overrides, text).recipe


def load_with_warnings(name: str, overrides: Sequence[str] = (), text: str | None = None) -> LoadedRecipe:
    """Read a recipe, and warn of what is lost between the recipes it extends.

    Args:
        name: Path of a TOML file or of a pipe, or the name of a shipped recipe.
        text: The content of the file, if it has been read already, as `read_text` does. A pipe is read only once.
        overrides: Texts of the form `section.key=value`; the value is TOML, `null`, or a string without quotes.

    Raises:
        RecipeError: the file is missing, is not TOML, extends itself, or violates the schema; lists all problems.
        UsageError: an override is not of the form `section.key=value`.
    """
    settings = [parse_override(override) for override in overrides]
    path = find_recipe(name)
    if path is None:
        raise _no_recipe(name)
    tree, lines, replaced, _ = _read_chain(path, (), text)
    for section, key, value in settings:
        if section not in tree:
            tree[section], lines[section] = {}, "--set"
        if isinstance(tree[section], dict):
            tree[section][key] = value
            lines[f"{section}.{key}"] = "--set"
    recipe = _validate(tree, str(path), lines)
    wanted = {key: value for key, value in replaced.items() if lines.get(f"model.{key}") != "--set"}
    return LoadedRecipe(recipe, _lost_defaults(recipe.model, wanted))


def files_of(name: str) -> tuple[Path, ...]:
    """The file of a recipe, and those of the recipes it extends; nothing for a pipe, which can be read only once.

    Raises:
        RecipeError: as of `load_recipe`, but for the schema.
    """
    path = find_recipe(name)
    if path is None:
        raise _no_recipe(name)
    return () if is_stream(path) else _read_chain(path, ()).files


def read_text(path: Path) -> str:
    """The text of a recipe's file.

    Raises:
        RecipeError: it is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise RecipeError(str(path), ["not a text file; a recipe is a TOML file"], _MISSING_HINT) from None


def parse_recipe(text: str, source: str) -> Recipe:
    """Read a complete recipe from TOML text, for example a checkpoint's metadata. `source` names it in errors."""
    return _validate(_parse_toml(text, source), source, {})


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML with every key, except keys that are None."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def parse_override(text: str) -> tuple[str, str, Any]:
    """Split `section.key=value`. The value is parsed as TOML, else taken as a string; `null` becomes None.

    Raises:
        UsageError: the text does not have this form.
    """
    match = re.fullmatch(r"\s*(\w+)\.(\w+)\s*=(.*)", text, re.DOTALL)
    if match is None:
        raise UsageError(f"--set {text}: not of the form section.key=value", "For example --set train.batch=16")
    return match[1], match[2], _override_value(match[3].strip())


def _override_value(text: str) -> Any:
    if text == "null":
        return None
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
    # No key is a date, but a folder name may look like one.
    return text if isinstance(value, datetime.date | datetime.time) else value


def _no_recipe(name: str) -> RecipeError:
    path = Path(name)
    if name and path.is_dir():
        inside = path / "recipe.toml"
        hint = f"It contains one: {inside}" if inside.is_file() else _MISSING_HINT
        return RecipeError(name, ["this is a folder; a recipe is a TOML file"], hint)
    return RecipeError(name or '""', [f"no such recipe{did_you_mean(path.stem, shipped_recipes())}"], _MISSING_HINT)


def _read_chain(path: Path, visited: tuple[Path, ...], text: str | None = None) -> _Chain:
    """A file with the recipes it extends."""
    text = read_text(path) if text is None else text
    tree = _parse_toml(text, str(path))
    lines = {key: f"{path.name}:{line}" for key, line in key_lines(text).items()}
    base_name = tree.pop("extends", None)
    if base_name is None:
        return _Chain(tree, lines, {}, (path.resolve(),))
    here = key_with_line(["extends"], lines)
    if not isinstance(base_name, str):
        raise RecipeError(str(path), [f"{here}: must be the path or name of a recipe, in quotes"])
    local = (Path() if is_stream(path) else path.parent) / base_name
    found = local if local.is_file() else find_shipped(base_name)
    if found is None:
        raise RecipeError(str(path), [f'{here}: no such recipe "{base_name}"'], _MISSING_HINT)
    visited = (*visited, path.resolve())
    if found.resolve() in visited:
        chain = " -> ".join(step.name for step in (*visited, found))
        raise RecipeError(str(path), [f"{here}: the recipe extends itself ({chain})"])
    if len(visited) >= LONGEST_CHAIN:
        raise RecipeError(str(path), [f"{here}: a chain of more than {LONGEST_CHAIN} recipes"], "Merge some of them.")
    base = _read_chain(found, visited)
    replaced = base.replaced | _replaced(base.tree, tree)
    return _Chain(_overlay(base.tree, tree), base.lines | lines, replaced, (path.resolve(), *base.files))


def _parse_toml(text: str, source: str) -> Tree:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers too long and nesting too deep for Python
        raise RecipeError(source, [f"not valid TOML: {error}"]) from None


def _overlay(base: Tree, top: Tree) -> Tree:
    """`base` with the values of `top`; tables are merged."""
    merged = dict(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _overlay(base[key], value) if both else value
    return merged


def _replaced(base: Tree, top: Tree) -> Tree:
    """Single values of [model] of `base` in whose place `top` has a table, by key."""
    below, above = base.get("model"), top.get("model")
    if not isinstance(below, dict) or not isinstance(above, dict):
        return {}
    tables = [key for key, value in above.items() if isinstance(value, dict)]
    return {key: below[key] for key in tables if key in below and not isinstance(below[key], dict)}


def _lost_defaults(model: ModelSection, replaced: Tree) -> list[str]:
    """A warning for each value that a table without a default replaced where it would have made a difference."""
    warnings = []
    for key, value in replaced.items():
        table = getattr(model, key)
        if not isinstance(table, dict) or DEFAULT in table:
            continue
        lost = [side for side in model.resolutions if str(side) not in table and _value(model, key, side) != value]
        if lost:
            text = json.dumps(value, ensure_ascii=False)
            sides = ", ".join(map(str, lost))
            warnings.append(
                f"model.{key}: replaces {text} of the recipe it extends also at {sides} px, because the table has no "
                f"default; add {DEFAULT} = {text} to keep it there"
            )
    return warnings


def _value(model: ModelSection, key: str, side: int) -> Any:
    return model.mixer_at(side) if key == "mixer" else model.value_at(key, side)


def _validate(tree: Tree, source: str, lines: Mapping[str, str]) -> Recipe:
    try:
        return Recipe.model_validate(tree).with_lines(lines)
    except ValidationError as error:
        problems = [explain(detail, lines) for detail in error.errors()]
        raise RecipeError(source, problems, "`swincli recipe schema` describes every key.") from None

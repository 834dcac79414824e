"""Reading a recipe: TOML, `extends`, overrides, and every problem of it at once with its key and line.

Precedence: defaults < extended recipe < recipe < --set < flags (which arrive here as the last overrides).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError

from swincli.errors import RecipeError, UsageError
from swincli.recipe.schema import Recipe
from swincli.recipe.shipped import find_recipe, shipped_recipes

Tree = dict[str, Any]
_MISSING_HINT = "`swincli recipe list` names the shipped recipes."


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by path or shipped name, with everything it extends and the overrides on top.

    Args:
        name: Path of a TOML file, or the name of a shipped recipe.
        overrides: `section.key=value` each; the value is TOML, or a bare string.

    Raises:
        RecipeError: the file is missing, is no TOML, extends itself, or breaks the schema; it lists every problem.
        UsageError: an override is not of the form `section.key=value`.
    """
    path = find_recipe(name)
    if path is None:
        near = difflib.get_close_matches(Path(name).stem, shipped_recipes(), n=1)
        guess = f'; did you mean "{near[0]}"?' if near else ""
        raise RecipeError(name, [f"no such recipe{guess}"], _MISSING_HINT)
    tree, lines = _read_chain(path, ())
    for override in overrides:
        section, key, value = parse_override(override)
        tree.setdefault(section, {})
        if isinstance(tree[section], dict):
            tree[section][key] = value
            lines[f"{section}.{key}"] = "--set"
    return _validate(tree, str(path), lines)


def parse_recipe(text: str, source: str) -> Recipe:
    """Read a complete recipe from TOML text, such as a checkpoint's metadata; `source` names it in errors."""
    return _validate(_parse_toml(text, source), source, {})


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as TOML: every key spelled out, but for those that are None."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def parse_override(text: str) -> tuple[str, str, Any]:
    """Split `section.key=value`; the value is read as TOML and, failing that, as a string.

    Raises:
        UsageError: the text has another form.
    """
    match = re.fullmatch(r"\s*(\w+)\.(\w+)\s*=(.*)", text, re.DOTALL)
    if match is None:
        raise UsageError(f"--set {text}: not of the form section.key=value", "For example --set train.batch=16")
    raw = match[3].strip()
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    return match[1], match[2], value


def _read_chain(path: Path, visited: tuple[Path, ...]) -> tuple[Tree, dict[str, str]]:
    """The tree of a file laid over those that it extends, and where each key was written last."""
    resolved = path.resolve()
    if resolved in visited:
        chain = " -> ".join(p.name for p in (*visited, resolved))
        raise RecipeError(str(path), [f"extends: it extends itself ({chain})"])
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RecipeError(str(path), ["not a text file"], "A recipe is a TOML file; see `swincli recipe list`.") from None
    tree = _parse_toml(text, str(path))
    lines = {key: f"{path.name}:{line}" for key, line in _key_lines(text).items()}
    base_name = tree.pop("extends", None)
    if base_name is None:
        return tree, lines
    if not isinstance(base_name, str):
        raise RecipeError(str(path), [f"{_where('extends', lines)}: must be the path of a recipe, in quotes"])
    base_path = path.parent / base_name
    found = base_path if base_path.is_file() else find_recipe(base_name)
    if found is None:
        raise RecipeError(str(path), [f'{_where("extends", lines)}: no such recipe "{base_name}"'], _MISSING_HINT)
    base, base_lines = _read_chain(found, (*visited, resolved))
    return _overlay(base, tree), base_lines | lines


def _parse_toml(text: str, source: str) -> Tree:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(source, [f"not valid TOML: {error}"]) from None


def _overlay(base: Tree, top: Tree) -> Tree:
    merged = dict(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _overlay(base[key], value) if both else value
    return merged


def _validate(tree: Tree, source: str, lines: Mapping[str, str]) -> Recipe:
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        problems = [_explain(dict(detail), lines) for detail in error.errors()]
        raise RecipeError(source, problems, "`swincli recipe schema` describes every key.") from None


def _explain(detail: dict[str, Any], lines: Mapping[str, str]) -> str:
    """One pydantic error as `section.key: what (file:line)`."""
    location = [str(part) for part in detail["loc"] if not (isinstance(part, str) and "[" in part)]
    key = ".".join(location[:2])
    message = str(detail["msg"])
    if detail["type"] == "extra_forbidden":
        message = "unknown " + ("section" if len(location) == 1 else "key")
        near = difflib.get_close_matches(location[-1], _known_keys(location[:-1]), n=1, cutoff=0.5)
        elsewhere = [] if near else [f"{s}.{location[-1]}" for s in _known_keys([]) if location[-1] in _known_keys([s])]
        for guess in near or elsewhere[:1]:
            message += f'; did you mean "{guess}"?'
    elif detail["type"] == "value_error":
        message = message.removeprefix("Value error, ")
    elif len(location) == 1 and not isinstance(detail["input"], dict):
        message = f"must be a section, written [{key}]"
    else:
        message = f"{message[0].lower()}{message[1:]}, not {detail['input']!r}"
    return f"{_where(key, lines)}: {message}" if key else message


def _where(key: str, lines: Mapping[str, str]) -> str:
    return f"{key} ({lines[key]})" if key in lines else key


def _known_keys(section: Iterable[str]) -> list[str]:
    model: Any = Recipe
    for name in section:
        field = model.model_fields.get(name)
        if field is None or not issubclass(field.annotation, BaseModel):
            return []
        model = field.annotation
    return list(model.model_fields)


def _key_lines(text: str) -> dict[str, int]:
    """The line on which each `section` and `section.key` of a plain TOML text stands."""
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([\w.]+)\s*\]", line):
            section = header[1]
            lines.setdefault(section, number)
        elif key := re.match(r"\s*([\w.]+)\s*=", line):
            lines.setdefault(f"{section}.{key[1]}".lstrip("."), number)
    return lines

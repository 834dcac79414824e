"""Messages for invalid recipes: pydantic's errors as `section.key (file:line): problem`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from swincli.errors import did_you_mean
from swincli.recipe.origins import key_with_line
from swincli.recipe.schema import Recipe
from swincli.recipe.section import INCONSISTENT

LONGEST_VALUE = 60
_WORDS = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be finite",
    "bool_type": "must be true or false",
    "string_type": "must be text in quotes",
    "string_too_short": "must not be empty",
    "list_type": "must be a list in square brackets",
    "dict_type": "must be a table in braces",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "literal_error": "must be {expected}",
}


def explain(detail: ErrorDetails, lines: Mapping[str, str]) -> str:
    """The message for one validation error.

    Args:
        detail: Item of `ValidationError.errors()` of a `Recipe`.
        lines: Origin of each `section` and `section.key`, such as "my.toml:12" or "--set".
    """
    location = [str(part) for part in detail["loc"]]
    context = {name: _without_point_zero(part) for name, part in detail.get("ctx", {}).items()}
    value = detail["input"]
    kind = detail["type"]
    if kind == "extra_forbidden":
        message = _unknown(location, value)
    elif kind == INCONSISTENT:
        location.append(context["key"])
        message = context["message"]
    elif len(location) == 1:
        message = f"must be a section, written [{location[0]}]"
    elif value is None:
        message = "must not be null"
    elif kind == "value_error":
        message = str(detail["msg"]).removeprefix("Value error, ")
    else:
        words = _WORDS[kind].format(**context).replace("'", '"') if kind in _WORDS else detail["msg"]
        message = f"{words[0].lower()}{words[1:]}, not {_as_toml(value)}"
    if len(detail["loc"]) > 2:
        place = detail["loc"][2]
        message = f"entry {place + 1} {message}" if isinstance(place, int) else f"{place} {message}"
    return f"{key_with_line(location[:2], lines)}: {message}"


def _as_toml(value: Any) -> str:
    """A value roughly as in TOML, shortened to `LONGEST_VALUE` characters."""
    if isinstance(value, tuple):
        value = list(value)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:  # dates and times
        text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _without_point_zero(value: Any) -> Any:
    """A whole float as an integer: 0.0 -> 0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _unknown(location: Sequence[str], value: Any) -> str:
    """The message for an unknown key, with the section it belongs to or the most similar known key."""
    name, section = location[-1], location[:-1]
    if name == "extends":
        return "must be at the top of the file, before the first section"
    if section:
        message = "unknown key"
    elif isinstance(value, dict | list):
        message = "unknown section"
    else:
        message = "is outside every section"
    elsewhere = [f"{other}.{name}" for other in _known_keys([]) if name in _known_keys([other])]
    return message + (f'; did you mean "{elsewhere[0]}"?' if elsewhere else did_you_mean(name, _known_keys(section)))


def _known_keys(section: Sequence[str]) -> list[str]:
    """The keys of a section; for an empty `section`, the names of all sections."""
    model: Any = Recipe
    for name in section:
        model = model.model_fields[name].annotation
        assert issubclass(model, BaseModel)
    return list(model.model_fields)

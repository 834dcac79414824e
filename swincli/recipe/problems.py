"""What is wrong with a recipe, in words: pydantic's findings as `section.key (file:line): what`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from swincli.errors import did_you_mean
from swincli.recipe.schema import Recipe

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
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "literal_error": "must be {expected}",
}


def explain(detail: ErrorDetails, lines: Mapping[str, str]) -> str:
    """Put one finding into words.

    Args:
        detail: One of `ValidationError.errors()` of a `Recipe`.
        lines: Where each `section` and `section.key` was written, such as "my.toml:12" or "--set".
    """
    location = [str(part) for part in detail["loc"]]
    context = {name: _whole(part) for name, part in detail.get("ctx", {}).items()}
    value = detail["input"]
    kind = detail["type"]
    if kind == "extra_forbidden":
        message = _unknown(location, value)
    elif kind == "misfit":
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
        message = f"{words[0].lower()}{words[1:]}, not {_written(value)}"
    if len(detail["loc"]) > 2:
        message = f"entry {int(location[2]) + 1} {message}"
    return f"{place(location[:2], lines)}: {message}"


def place(location: Sequence[str], lines: Mapping[str, str]) -> str:
    """A key and where it, or else its section, was written: "train.batch (my.toml:12)"."""
    key = ".".join(location)
    written_at = lines.get(key) or lines.get(location[0])
    return f"{key} ({written_at})" if written_at else key


def _written(value: Any) -> str:
    """A value about as TOML writes it, cut where it is long."""
    if isinstance(value, tuple):
        value = list(value)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:  # dates and times
        text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _whole(value: Any) -> Any:
    """A bound such as 0.0 as the 0 that it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _unknown(location: Sequence[str], value: Any) -> str:
    """Words for a key that the schema does not know: where it belongs, or what it was meant to be."""
    name, section = location[-1], location[:-1]
    if name == "extends":
        return "must stand at the top of the file, before every section"
    if section:
        message = "unknown key"
    elif isinstance(value, dict | list):
        message = "unknown section"
    else:
        message = "stands in no section"
    elsewhere = [f"{other}.{name}" for other in _known_keys([]) if name in _known_keys([other])]
    return message + (f'; did you mean "{elsewhere[0]}"?' if elsewhere else did_you_mean(name, _known_keys(section)))


def _known_keys(section: Sequence[str]) -> list[str]:
    """The keys of a section, or the sections themselves for none."""
    model: Any = Recipe
    for name in section:
        model = model.model_fields[name].annotation
        assert issubclass(model, BaseModel)
    return list(model.model_fields)

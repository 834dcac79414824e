"""Keys that may differ from resolution to resolution of G: one value, or a table from sides to values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import CoreSchema, core_schema

DEFAULT = "default"
SIDES = tuple(str(2**level) for level in range(2, 11))
"""The sides of maps that a table may name, in text. A side above the model's size is ignored."""


@dataclass(frozen=True)
class ByResolution:
    """Annotation for a key with one value for all resolutions, or a table `{default = ..., "512" = ...}`.

    Attributes:
        value: Annotated type of one value.
        optional: Whether the key may be None.
    """

    value: Any
    optional: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        unchanged = core_schema.plain_serializer_function_ser_schema(lambda value: value)
        one = handler.generate_schema(self.value)
        checked = core_schema.no_info_wrap_validator_function(_one_or_table, one, serialization=unchanged)
        return core_schema.nullable_schema(checked, serialization=unchanged) if self.optional else checked

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        inner = schema["schema"]["schema"] if self.optional else schema["schema"]
        one = handler(inner)
        table = {
            "type": "object",
            "properties": dict.fromkeys((DEFAULT, *SIDES), one),
            "additionalProperties": False,
            "minProperties": 1,
        }
        return {"anyOf": [one, table]}


def _one_or_table(value: Any, check: Callable[[Any], Any]) -> Any:
    if not isinstance(value, dict):
        return check(value)
    unknown = [name for name in value if name not in (DEFAULT, *SIDES)]
    if unknown:
        names = f'"{DEFAULT}" or a side of a map in quotes, "{SIDES[0]}", "{SIDES[1]}", ... "{SIDES[-1]}"'
        raise ValueError(f'a table of values by resolution has {names}, not "{unknown[0]}"')
    checked = {name: check(value[name]) for name in (DEFAULT, *SIDES) if name in value}
    if not checked:
        raise ValueError("the table is empty")
    return checked if set(checked) != {DEFAULT} else checked[DEFAULT]


def value_at(given: Any, resolution: int, otherwise: Any) -> Any:
    """The value at a resolution.

    Args:
        given: The key's value: one value or a table.
        resolution: Side of the map.
        otherwise: The value where a table names neither the side nor a default.
    """
    if not isinstance(given, dict):
        return given
    return given.get(str(resolution), given.get(DEFAULT, otherwise))

"""Attributes of images that networks are conditioned on: their kinds, how a recipe writes them, their columns.

A recipe has a table of names and kinds, `attributes = { hair = 5, glasses = "flag", age = "number" }`. What an image
has is a row of float32 columns, those of each attribute beside each other, in the order of the names. Unknown is NaN.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

LONGEST_NAME, MOST_COLUMNS = 64, 1_000_000
Number = TypeVar("Number", bound=Any)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NAME = re.compile(r"\w(?:[\w -]*\w)?")


@dataclass(frozen=True)
class KindRow:
    """A row of the table of kinds.

    Attributes:
        columns: Columns of a kind with so many values.
        smallest: Fewest values; None for a kind without a number.
        holds: What the columns hold, in words.
    """

    columns: Callable[[int], int]
    smallest: int | None
    holds: str


KINDS: dict[str, KindRow] = {
    "class": KindRow(lambda _: 1, 2, "the number of one of several values, from 0"),
    "flag": KindRow(lambda _: 1, None, "1 for yes, 0 for no"),
    "number": KindRow(lambda _: 1, None, "a number; for networks 0 for the lowest, 1 for the highest"),
    "several": KindRow(lambda size: size, 1, "for each of several values 1 if the image has it, else 0"),
    "text": KindRow(lambda size: size, 1, "the embedding of a text, of length 1"),
}
"""Kinds of attributes by name. A class is written as its number of values, others as "flag" or "several:20"."""


@dataclass(frozen=True)
class Kind:
    """The kind of one attribute.

    Attributes:
        name: A key of `KINDS`.
        size: Number of values of a class or of several, length of a text's embedding; 1 for others.
    """

    name: str
    size: int = 1

    @property
    def columns(self) -> int:
        """Columns that hold an image's value."""
        return KINDS[self.name].columns(self.size)

    @property
    def written(self) -> int | str:
        """How a recipe writes it."""
        if self.name == "class":
            return self.size
        return self.name if KINDS[self.name].smallest is None else f"{self.name}:{self.size}"


@dataclass(frozen=True)
class Attribute:
    """What is known of one attribute of a store or of a model.

    Attributes:
        name: Its name.
        kind: Its kind.
        values: Names of the values of a class or of several, in the order of their numbers; else empty.
        low, high: Lowest and highest number of the images; None for other kinds.
        missing: Images without a value.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    missing: int = 0

    def __post_init__(self) -> None:
        check_name(self.name)
        row = KINDS[self.kind.name]
        named = self.kind.name in ("class", "several")
        ranged = self.low is not None and self.high is not None and self.low < self.high
        if self.kind.size < (row.smallest or 1) or len(self.values) != (self.kind.size if named else 0):
            raise ValueError(f"{self.name}: has not the names of its values")
        if ranged != (self.kind.name == "number"):
            raise ValueError(f"{self.name}: a number, and no other kind, needs a range")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without what the kind does not have."""
        plain: dict[str, Any] = {"name": self.name, "kind": self.kind.written, "missing": self.missing}
        if self.values:
            plain["values"] = list(self.values)
        return plain if self.low is None else {**plain, "low": self.low, "high": self.high}

    def scaled(self, value: Number) -> Number:
        """A value of the store as networks get it: numbers from 0, the lowest, to 1. Floats or arrays of them."""
        if self.low is None or self.high is None:
            return value
        scaled: Number = (value - self.low) / (self.high - self.low)
        return scaled

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Attribute:
        """The attribute that `as_dict` has written. Raises KeyError, TypeError or ValueError if it is none."""
        low, high = (None if plain.get(key) is None else float(plain[key]) for key in ("low", "high"))
        values = tuple(map(str, plain.get("values", ())))
        return cls(str(plain["name"]), parse_kind(plain["kind"]), values, low, high, int(plain["missing"]))


def check_name(name: object) -> str:
    """A name that can stand in a recipe, on the command line and in files. Raises ValueError."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise ValueError(f'"{name}" is no name of an attribute: letters, digits, "_", "-" and spaces inside')
    return name


def parse_kind(written: object) -> Kind:
    """A kind as a recipe writes it. Raises ValueError."""
    if isinstance(written, int) and not isinstance(written, bool):
        kind = Kind("class", written)
    else:
        match = re.fullmatch(r"([a-z]+)(?::([0-9]{1,9}))?", written) if isinstance(written, str) else None
        name, size = (match[1], match[2]) if match else ("", None)
        row = KINDS.get(name)
        if row is None or name == "class" or (size is None) != (row.smallest is None):
            kinds = 'a number of classes, "flag", "number", "several:N", "text:N"'
            raise ValueError(f"{_spelled(written)} is no kind: {kinds}")
        kind = Kind(name, int(size or 1))
    smallest = KINDS[kind.name].smallest or 1
    if not smallest <= kind.size <= MOST_COLUMNS:
        raise ValueError(f"{_spelled(written)} must be from {smallest} to {MOST_COLUMNS}")
    return kind


def _spelled(written: object) -> str:
    return f'"{written}"' if isinstance(written, str) else str(written)


def spell_table(kinds: Mapping[str, Kind]) -> str:
    """The entries of a recipe's table, such as `age = "number", hair = 5`, sorted by name."""
    spelled = {name if _BARE.fullmatch(name) else f'"{name}"': kinds[name].written for name in sorted(kinds)}
    return ", ".join(f"{name} = {_spelled(written)}" for name, written in spelled.items())


def columns_by_name(kinds: Mapping[str, Kind]) -> dict[str, slice]:
    """Where the columns of each attribute are, in the order of the kinds."""
    places, start = dict[str, slice](), 0
    for name, kind in kinds.items():
        places[name] = slice(start, start + kind.columns)
        start += kind.columns
    return places


class AttributeTable:
    """Annotation of a recipe's key for a table of names and kinds. The order of the names does not matter."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        kind = {
            "anyOf": [
                {"type": "integer", "minimum": 2, "maximum": MOST_COLUMNS},
                {"type": "string", "pattern": "^(flag|number|(several|text):[0-9]+)$"},
            ]
        }
        return {"type": "object", "additionalProperties": kind, "minProperties": 1}


def _checked(table: Any) -> dict[str, int | str] | None:
    if table is None:
        return None
    if not isinstance(table, dict):
        raise ValueError('must be a table of names and kinds, such as { hair = 5, glasses = "flag", age = "number" }')
    if not table:
        raise ValueError("names no attribute; leave it out")
    kinds = dict[str, Kind]()
    for name in sorted(table):
        check_name(name)
        try:
            kinds[name] = parse_kind(table[name])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if sum(kind.columns for kind in kinds.values()) > MOST_COLUMNS:
        raise ValueError(f"takes more than {MOST_COLUMNS:,} columns")
    return {name: kind.written for name, kind in kinds.items()}

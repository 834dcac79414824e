"""Kinds of the columns of a table of attributes: told from their cells, or given; and cells as numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swincli.console import Console
from swincli.data.preparing.label_files import AttributeColumns
from swincli.data.preparing.labels import number_labels
from swincli.data.preparing.options import PrepareOptions
from swincli.data.store.attribute_values import AttributeValues
from swincli.errors import DataError, UsageError, did_you_mean
from swincli.recipe.attributes import Attribute, Kind
from swincli.units import format_names, parse_number, with_decimal_point

SKIP = "skip"
MOST_NUMBERED = 20  # whole numbers 0, 1, 2, ... without gaps are classes up to here, else numbers
_UNKNOWN = {"", "nan", "na", "n/a", "null", "?"}
_NONE = {"none", "-"}  # of several values
_FLAGS = ({"yes": 1, "no": 0}, {"true": 1, "false": 0}, {"y": 1, "n": 0}, {"t": 1, "f": 0}, {"1": 1, "0": 0},
          {"1": 1, "-1": 0}, {"on": 1, "off": 0}, {"1.0": 1, "0.0": 0})  # fmt: skip
_SEVERAL = re.compile(r"\s*[;|]\s*")

_NUMERIC = {"flag", "number"}  # kinds whose cells may have decimal commas
_WORDS = {"class": "a class", "flag": "yes or no", "number": "a number", "several": "several values"}

Cells = Sequence[str | None]
"""Cells of a column; None for unknown ones."""


@dataclass(frozen=True)
class Column:
    """A column as numbers.

    Attributes:
        size: Number of values, as in `Kind`.
        values: Their names.
        rows: float32 [images, C], NaN for unknown cells.
        low, high: Range of a number.
    """

    size: int
    values: tuple[str, ...]
    rows: NDArray[np.float32]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ColumnKind:
    """A row of the table of kinds.

    Attributes:
        allows: Whether a cell can be of the kind.
        encode: Cells -> numbers.
    """

    allows: Callable[[str], bool]
    encode: Callable[[Cells], Column]


def _number(cell: str) -> float | None:
    try:
        value = parse_number(cell)
    except ValueError:
        return None
    return value if math.isfinite(np.float32(value)) else None


def as_flag(cell: str) -> int | None:
    """1 for a cell that says yes, 0 for one that says no; None for another cell."""
    return next((pair[cell.lower()] for pair in _FLAGS if cell.lower() in pair), None)


def parts_of(cell: str) -> list[str]:
    """The values of a cell that may have several, such as "hat; scarf"."""
    return [part for part in _SEVERAL.split(cell.strip()) if part and part.lower() not in _NONE]


def _one_column(values: Sequence[float | None]) -> NDArray[np.float32]:
    return np.array([math.nan if value is None else value for value in values], np.float32)[:, None]


def _encode_class(cells: Cells) -> Column:
    numbers, names = number_labels([cell for cell in cells if cell is not None])
    found = iter(numbers.tolist())
    return Column(len(names), tuple(names), _one_column([None if cell is None else next(found) for cell in cells]))


def _encode_flag(cells: Cells) -> Column:
    return Column(1, (), _one_column([None if cell is None else as_flag(cell) for cell in cells]))


def _encode_number(cells: Cells) -> Column:
    rows = _one_column([None if cell is None else _number(cell) for cell in cells])
    return Column(1, (), rows, float(np.nanmin(rows)), float(np.nanmax(rows)))


def _encode_several(cells: Cells) -> Column:
    names = number_labels([part for cell in cells if cell is not None for part in parts_of(cell)])[1]
    places = {name: place for place, name in enumerate(names)}
    rows = np.zeros((len(cells), len(names)), np.float32)
    for row, cell in zip(rows, cells, strict=True):
        row[[places[part] for part in parts_of(cell or "")]] = 1
        if cell is None:
            row[:] = math.nan
    return Column(len(names), tuple(names), rows)


COLUMN_KINDS: dict[str, ColumnKind] = {
    "class": ColumnKind(lambda _: True, _encode_class),
    "flag": ColumnKind(lambda cell: as_flag(cell) is not None, _encode_flag),
    "number": ColumnKind(lambda cell: _number(cell) is not None, _encode_number),
    "several": ColumnKind(lambda _: True, _encode_several),
}
"""Kinds that a column of a table can have, by name."""


def parse_kinds(texts: Sequence[str]) -> dict[str, str]:
    """The kinds of `--label-kind NAME=KIND`, by name.

    Raises:
        UsageError: an option has another form, or an unknown kind.
    """
    found = {}
    for text in texts:
        name, equals, kind = (part.strip() for part in text.rpartition("="))
        if not equals or not name or kind not in (*COLUMN_KINDS, SKIP):
            known = ", ".join((*COLUMN_KINDS, SKIP))
            raise UsageError(f"--label-kind {text}: not NAME=KIND with a KIND of {known}", "Such as age=number.")
        found[name] = kind
    return found


@dataclass(frozen=True)
class TypedColumns:
    """The columns of a table that are used, and the kind of each."""

    columns: AttributeColumns
    kinds: dict[str, str]


def wanted_attributes(labels: object, options: PrepareOptions, console: Console) -> TypedColumns | None:
    """The attributes of `--labels` and the kinds of their columns, which are said; None if it gives none.

    Raises:
        UsageError: `--label-kind` is malformed, or there are no columns for it, or the output cannot hold attributes.
        DataError: as `tell_kinds` does.
    """
    given = parse_kinds(options.label_kinds)
    if not isinstance(labels, AttributeColumns):
        if given:
            raise UsageError("--label-kind: needs --labels with a table of paths and columns", "Such as labels.csv.")
        return None
    if options.format != "store":
        raise UsageError(
            f"--format {options.format}: StyleGAN's dataset.json holds one class for an image, not attributes",
            "Make a store, or give a table with one column of labels.",
        )
    kinds = tell_kinds(labels, given, console)
    console.say("labels: " + ", ".join(f"{name} is {_WORDS[kind]}" for name, kind in kinds.items()))
    return TypedColumns(with_decimal_points(labels, kinds), kinds)


def tell_kinds(table: AttributeColumns, given: Mapping[str, str], console: Console) -> dict[str, str]:
    """The kind of each column that is used, by name. What is left out, and why, is said.

    Raises:
        UsageError: a kind is given to a column that is not there.
        DataError: a cell is not of its column's kind, or no column can be used.
    """
    for name in given:
        if name not in table.names:
            raise UsageError(f"--label-kind {name}: {table.text} has no such column{did_you_mean(name, table.names)}")
    kinds = {}
    for place, name in enumerate(table.names):
        cells = {picture: cell for picture, row in table.cells.items() if (cell := known(row[place])) is not None}
        kind, reason = given.get(name), "--label-kind says so" if given.get(name) == SKIP else ""
        pointed = dict(cells)
        if table.decimal_commas:
            pointed = {picture: with_decimal_point(cell) for picture, cell in cells.items()}
        if kind is None:
            kind, reason = _told(list(pointed.values()), len(table.cells))
        if kind == SKIP or len(set(cells.values())) < 2:
            console.warn(f"labels: {name} is left out: {reason or 'all pictures have the same value, or none'}")
            continue
        spelled = pointed if kind in _NUMERIC else cells
        wrong = [picture for picture, cell in spelled.items() if not COLUMN_KINDS[kind].allows(cell)]
        if wrong:
            where, cell = table.where[wrong[0]], cells[wrong[0]]
            hint = f"Correct it, leave the cell empty for unknown, or give --label-kind {name}=class."
            raise DataError(f'{table.text}: {where}: {name} is "{cell}", which is no {kind}', hint)
        kinds[name] = kind
    if not kinds:
        raise DataError(f"{table.text} has no column that says anything about the pictures", "See --label-kind.")
    return kinds


def with_decimal_points(table: AttributeColumns, kinds: Mapping[str, str]) -> AttributeColumns:
    """A table with points in the numbers that have decimal commas, in columns of numbers and flags."""
    if not table.decimal_commas:
        return table
    numeric = [kinds.get(name) in _NUMERIC for name in table.names]
    cells = {
        picture: tuple(with_decimal_point(cell) if has else cell for cell, has in zip(row, numeric, strict=True))
        for picture, row in table.cells.items()
    }
    return replace(table, cells=cells, decimal_commas=False)


def known(cell: str) -> str | None:
    """A cell; None if it says that the value is unknown."""
    return None if cell.strip().lower() in _UNKNOWN else cell.strip()


def _told(cells: list[str], pictures: int) -> tuple[str, str]:
    """The kind of a column by its known cells, and if it is to be left out, why."""
    lowered, different = {cell.lower() for cell in cells}, set(cells)
    if any(lowered <= set(pair) for pair in _FLAGS):
        return "flag", ""
    numbers = sum(_number(cell) is not None for cell in cells)
    if numbers > len(cells) / 2:
        whole = {int(cell) for cell in different if re.fullmatch(r"\d{1,4}", cell)}
        without_gaps = len(whole) == len(different) <= MOST_NUMBERED and max(whole) - min(whole) < len(whole)
        return ("class" if without_gaps and min(whole) <= 1 else "number"), ""
    if any(_SEVERAL.search(cell) for cell in cells):
        return "several", ""
    if len(different) > max(MOST_NUMBERED, pictures / 2):
        return SKIP, f"it has {len(different):,} different values; --label-kind NAME=class takes it all the same"
    return "class", ""


def encode_columns(table: AttributeColumns, kinds: Mapping[str, str], console: Console) -> AttributeValues:
    """The columns of pictures, in the order of `table.cells`, as numbers.

    Raises:
        DataError: these pictures have one value alone in every column.
    """
    each, parts = [], []
    for name, kind in kinds.items():
        cells = [known(row[table.names.index(name)]) for row in table.cells.values()]
        column = COLUMN_KINDS[kind].encode(cells) if len({cell for cell in cells if cell is not None}) > 1 else None
        if column is None or (column.low is not None and column.low == column.high):
            console.warn(f"labels: {name} is left out: all images have the same value")
            continue
        unknown = int(np.isnan(column.rows[:, 0]).sum())
        each.append(Attribute(name, Kind(kind, column.size), column.values, column.low, column.high, unknown))
        parts.append(column.rows)
        if rare := _seen_once(each[-1], column.rows):
            console.warn(f"labels: {name}: {format_names(rare)} on one image alone, too few to learn from")
    if not each:
        raise DataError(f"{table.text}: all images have the same values", "Leave --labels out.")
    return AttributeValues(tuple(each), np.concatenate(parts, axis=1))


def _seen_once(one: Attribute, rows: NDArray[np.float32]) -> list[str]:
    """Names of values that one image has."""
    if one.kind.name == "class":
        counts = np.bincount(rows[~np.isnan(rows)].astype(np.int64), minlength=one.kind.size)
    else:
        counts = np.nansum(rows, axis=0).astype(np.int64)
    return [name for name, count in zip(one.values, counts, strict=False) if count == 1]

"""Labels and captions from files: which row of a file belongs to which picture."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from swincli.data.preparing.label_tables import (
    CAPTIONS,
    LABELS,
    LabelRow,
    RowSort,
    composed,
    json_rows,
    table_rows,
)
from swincli.errors import DataError
from swincli.units import format_items, format_names


@dataclass(frozen=True)
class AttributeColumns:
    """The columns of a table of attributes.

    Attributes:
        text: Name of the file in messages.
        names: Names of the columns, without that of the paths.
        cells: Cells by names of pictures.
        where: Place of the row in messages, by names of pictures.
        decimal_commas: Whether a cell such as 20,5 may be a number: commas do not separate the columns.
    """

    text: str
    names: list[str]
    cells: dict[str, tuple[str, ...]]
    where: dict[str, str]
    decimal_commas: bool = False

    def only(self, pictures: Collection[str]) -> AttributeColumns:
        """The rows of some pictures, in their order."""
        return replace(self, cells={name: self.cells[name] for name in pictures})


@dataclass(frozen=True)
class MatchedLabels:
    """Labels or captions of pictures, and what a user should know about them.

    Attributes:
        captions: Captions by names of pictures, each once; of labels, the one label; for attributes, names of places.
        columns: The attributes of a table of attributes; None for classes.
        notes: How rows were understood.
        warnings: Rows that are not used.
        other_case: A row and a picture without a label that differ in upper and lower case alone; None if none do.
    """

    captions: dict[str, tuple[str, ...]]
    notes: list[str]
    warnings: list[str]
    other_case: tuple[str, str] | None
    columns: AttributeColumns | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The label, or the first caption, by names of pictures."""
        return {name: texts[0] for name, texts in self.captions.items()}


def read_label_file(
    content: str, text: str, names: Collection[str], source: str, *, attributes: bool = False
) -> MatchedLabels:
    """Read the labels of pictures from a label file.

    Rows and pictures belong together if their paths are equal in composed Unicode. If no row does, their paths may also
    begin or end differently: with other folders, or without the file's suffix.

    Args:
        content: The file. It is JSON if its name ends in .json, else a table.
        text: The file's name in messages.
        names: Names of the pictures.
        source: The source's name in messages.
        attributes: Take every column of a table with a heading. By default a table with one label column has classes.

    Raises:
        DataError: The file is malformed, has no labels, or two for one picture.
    """
    return _read_file(content, text, names, source, LABELS, attributes=attributes)


def read_caption_file(content: str, text: str, names: Collection[str], source: str) -> MatchedLabels:
    """Read the captions of pictures from a file, which may have several rows for a picture; else as `read_label_file`.

    Raises:
        DataError: The file is malformed, has no captions, or an empty one.
    """
    return _read_file(content, text, names, source, CAPTIONS)


def _read_file(
    content: str, text: str, names: Collection[str], source: str, sort: RowSort, *, attributes: bool = False
) -> MatchedLabels:
    notes: list[str] = []
    columns: list[str] = []
    decimal_commas = False
    if text.lower().endswith(".json"):
        rows = json_rows(content, text, sort)
    else:
        rows, columns, decimal_commas = table_rows(content, text, names, notes, sort, attributes=attributes)
    if not rows:
        raise DataError(f"{text} holds no {sort.noun}s")
    listed = _by_path(rows, text, sort)
    matched = {name: found for name in names if (found := listed.get(composed(name))) is not None}
    if not matched:
        matched = _match_ends(listed, names, text, sort)
        notes += [
            f"paths in {text} are matched by their ends, such as {found[0].path} and {name}"
            for name, found in list(matched.items())[:1]
        ]
    used = {row.where for found in matched.values() for row in found}
    unused = [row for found in listed.values() for row in found[:1] if row.where not in used]
    warnings = []
    if unused and matched:
        named = format_names([f"{row.path} ({row.where})" for row in unused])
        warnings.append(f"{text}: {format_items(len(unused), 'row')} without a picture in {source}: {named}")
    without = [name for name in names if name not in matched]
    other_case = _differ_in_case(listed, without) if without else None
    if not columns:
        captions = {name: tuple(dict.fromkeys(str(row.label) for row in found)) for name, found in matched.items()}
        return MatchedLabels(captions, notes, warnings, other_case)
    where = {name: found[0].where for name, found in matched.items()}
    cells = {name: tuple(found[0].label) for name, found in matched.items()}
    table = AttributeColumns(text, columns, cells, where, decimal_commas)
    return MatchedLabels({name: (place,) for name, place in where.items()}, notes, warnings, other_case, table)


def _differ_in_case(listed: Collection[str], names: list[str]) -> tuple[str, str] | None:
    """The first row and picture that differ in upper and lower case alone."""
    folded = {path.casefold(): path for path in listed}
    found = ((folded.get(composed(name).casefold()), name) for name in names)
    return next(((path, name) for path, name in found if path is not None), None)


def _by_path(rows: list[LabelRow], text: str, sort: RowSort) -> dict[str, list[LabelRow]]:
    """Rows by their paths in composed Unicode."""
    found: dict[str, list[LabelRow]] = {}
    for row in rows:
        _add_row(found.setdefault(composed(row.path), []), row, row.path, text, sort)
    return found


def _add_row(found: list[LabelRow], row: LabelRow, name: str, text: str, sort: RowSort) -> None:
    """Add a row to those of a picture, which may have one label only."""
    if found and not sort.several and found[0].label != row.label:
        raise _two_labels(text, name, found[0], row)
    found.append(row)


def _match_ends(
    listed: dict[str, list[LabelRow]], names: Collection[str], text: str, sort: RowSort
) -> dict[str, list[LabelRow]]:
    """Match rows and pictures if the path of one is the end of the other's; a row may lack the file's suffix.

    Ends that several pictures have match none.
    """
    ends: dict[str, str] = {}
    wholes: dict[str, str] = {}
    for name in names:
        path = PurePosixPath(composed(name))
        for spelled in {path, path.with_suffix("")}:
            _add_unless_taken(wholes, str(spelled), name)
            for end in _ends(spelled):
                _add_unless_taken(ends, end, name)
    matched: dict[str, list[LabelRow]] = {}
    for path_of_row, rows in listed.items():
        found = ends.get(path_of_row) or next(
            (wholes[end] for end in _ends(PurePosixPath(path_of_row)) if wholes.get(end)), None
        )
        if not found:
            continue
        for row in rows:
            _add_row(matched.setdefault(found, []), row, found, text, sort)
    return matched


def _ends(path: PurePosixPath) -> list[str]:
    """A path, and the same without its first folders: a/b/c, b/c, c."""
    return ["/".join(path.parts[place:]) for place in range(len(path.parts))]


def _add_unless_taken(found: dict[str, str], key: str, name: str) -> None:
    """Keep the name that has a key; an empty name if several have it."""
    if found.setdefault(key, name) != name:
        found[key] = ""


def _two_labels(text: str, name: str, first: LabelRow, second: LabelRow) -> DataError:
    places = f"{first.where} and {second.where}"
    labels = [row.label if isinstance(row.label, str) else ", ".join(row.label) for row in (first, second)]
    return DataError(f"{text}: {places}: {name} has two labels, {labels[0]} and {labels[1]}")

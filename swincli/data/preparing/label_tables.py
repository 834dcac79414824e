"""The rows of label and caption files: StyleGAN's dataset.json, and tables as spreadsheets and scripts write them."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from io import StringIO
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Final, Protocol

from swincli.data.sources.naming import printable
from swincli.errors import DataError
from swincli.recipe.attributes import LONGEST_NAME

_SEPARATORS: Final = (",", ";", "\t", "|")
_CAPTION_SEPARATORS: Final = ("\t", "|", ";", ",")  # of equally frequent ones the first: captions have commas
_SAMPLE: Final = 1000  # rows that say which column is which
_JSON_HINT: Final = 'Expected format: {"labels": [["cat/1.png", 0], ...]}.'
_TABLE_HINT: Final = 'Put paths with commas in "quotes".'
_CAPTION_HINT: Final = 'Put captions with commas in "quotes".'
_PATH_HEADINGS: Final = {
    "path", "file", "filename", "file_name", "filepath", "file_path", "image", "images", "image_path", "image_name",
    "image_id", "image_file", "img", "img_path", "img_name", "name", "id", "picture", "photo",
}  # fmt: skip
_LABEL_HEADINGS: Final = {
    "label", "labels", "label_name", "class", "class_name", "classname", "class_id", "category", "category_name",
    "category_id", "target", "y", "tag",
}  # fmt: skip
_CAPTION_HEADINGS: Final = {
    "caption", "captions", "text", "texts", "description", "descriptions", "sentence", "prompt", "comment", "alt",
    "raw", "title",
}  # fmt: skip
_SPACES: Final = re.compile(r"(?<=\S)\s+(?=\S)")
_WHOLE_NUMBER: Final = re.compile(r"(\d+)\.0+")


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One row of a label file.

    Attributes:
        where: Its place in messages, such as "line 3".
        path: The path in normal form: slashes, no "./".
        label: The label's name, or all cells but the path.
    """

    where: str
    path: str
    label: str | tuple[str, ...]


@dataclass(frozen=True)
class RowSort:
    """What the rows of a file say of a picture: a label, or captions.

    Attributes:
        noun: The word for it.
        headings: How its column may be called.
        separators: What may separate columns; of equally frequent ones the first is taken.
        hint: How a row that cannot be read is put right.
        several: Whether a picture may have several different ones.
    """

    noun: str
    headings: Collection[str]
    separators: tuple[str, ...]
    hint: str
    several: bool


LABELS: Final = RowSort("label", _LABEL_HEADINGS, _SEPARATORS, _TABLE_HINT, several=False)
CAPTIONS: Final = RowSort("caption", _CAPTION_HEADINGS, _CAPTION_SEPARATORS, _CAPTION_HINT, several=True)


def composed(name: str) -> str:
    """A name in composed Unicode (NFC): macOS stores "é" as two characters, keyboards type one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _row(where: str, path: str, *labels: str) -> LabelRow:
    spelled = tuple(composed(printable(label)) for label in labels)
    return LabelRow(
        where, str(PurePosixPath(path.strip().replace("\\", "/"))), spelled if len(spelled) > 1 else spelled[0]
    )


def json_rows(content: str, text: str, sort: RowSort) -> list[LabelRow]:
    """Rows of a JSON file, such as StyleGAN's dataset.json. Raises DataError."""
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{text} is not JSON: {error}", _JSON_HINT) from error
    pairs = raw.get("labels", raw if sort.several else None) if isinstance(raw, dict) else None
    if isinstance(pairs, dict):
        pairs = [[path, each] for path, value in pairs.items() for each in _each(value, sort)]
    if not isinstance(pairs, list):
        raise DataError(f"{text} has no list of {sort.noun}s", _JSON_HINT)
    rows = []
    for number, pair in enumerate(pairs):
        is_pair = isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
        if not is_pair or not isinstance(pair[1], int | str) or isinstance(pair[1], bool):
            raise DataError(f"{text}: {str(pair)[:80]} is not a pair of path and {sort.noun}", _JSON_HINT)
        if sort.several and not str(pair[1]).strip():
            raise DataError(f"{text}: labels[{number}]: the caption of {pair[0]} is empty")
        rows.append(_row(f"labels[{number}]", pair[0], str(pair[1])))
    return rows


def _each(value: object, sort: RowSort) -> list[object]:
    """The captions of a picture, where a file has them in a list."""
    return value if sort.several and isinstance(value, list) else [value]


def table_rows(
    content: str, text: str, names: Collection[str], notes: list[str], sort: RowSort, *, attributes: bool
) -> tuple[list[LabelRow], list[str], bool]:
    """Rows of a table, the names of their columns if all of them count, and whether cells may have decimal commas."""
    separator = _find_separator(content, sort)
    files = {PurePosixPath(composed(name)).name for name in names}
    table = _read_table(content, text, separator, sort, files)
    if not table:
        return [], [], False
    width = len(table[0][1])
    if width == 1:
        raise _no_pair(text, sort, *table[0])
    stems = _stems(files)
    heading = [re.sub(r"[\s-]+", "_", cell.lower()) for cell in table[0][1]]
    hits = [sum(_file_name(cells, column) in files for _, cells in table[:_SAMPLE]) for column in range(width)]
    path_column = hits.index(max(hits)) if any(hits) else _first_heading(heading, _PATH_HEADINGS)
    first, second = (_file_name(cells, path_column) for _, cells in (table[0], table[min(1, len(table) - 1)]))
    has_heading = first not in files | stems and (
        not set(heading).isdisjoint(sort.headings) or (second in files | stems and not re.search(r"[/\\.]", first))
    )
    named = [column for column in range(width) if column != path_column and heading[column] in sort.headings]
    if has_heading and not sort.several and (attributes or (width > 2 and len(named) != 1)):
        return *_attribute_rows(table, text, path_column, notes), separator != ","
    if attributes:
        raise DataError(f"{text}: {table[0][0]} names no columns", "Write a heading, such as path,hair,age.")
    label_column = _label_column(text, table[0], path_column, named, sort, has_heading=has_heading)
    if has_heading and heading != ["path", sort.noun]:
        spelled = f"paths from column {path_column + 1}, {sort.noun}s from column {label_column + 1}"
        notes.append(f"{text}: {table[0][0]} is taken for a heading; {spelled}")
    rows = []
    for where, cells in table[1:] if has_heading else table:
        if len(cells) != width or not cells[path_column] or not cells[label_column]:
            raise _no_pair(text, sort, where, cells)
        rows.append(_row(where, cells[path_column], cells[label_column]))
    return _whole_numbers(rows), [], False


def _attribute_rows(
    table: list[tuple[str, list[str]]], text: str, path_column: int, notes: list[str]
) -> tuple[list[LabelRow], list[str]]:
    """Rows with all cells but the path, and the names of the columns. Names get characters that options can hold."""
    (line, heading), *rest = table
    names = [_attribute_name(cell) for column, cell in enumerate(heading) if column != path_column]
    twice = [name for number, name in enumerate(names) if name in names[:number] or not name]
    if twice:
        raise DataError(f'{text}: {line}: "{twice[0]}" is no name of a column, or names two', "Rename the column.")
    notes.append(f"{text}: {line} is the heading; paths are in column {path_column + 1}")
    rows = []
    for where, cells in rest:
        cells = cells + [""] * (len(heading) - len(cells))  # those at the end of a row may be empty
        if len(cells) > len(heading) or not cells[path_column]:
            raise DataError(f"{text}: {where} has not the {len(heading)} cells of the heading", _TABLE_HINT)
        rows.append(_row(where, cells[path_column], *cells[:path_column], *cells[path_column + 1 :]))
    single = len(names) == 1
    return [replace(row, label=(str(row.label),)) for row in rows] if single else rows, names


def _attribute_name(cell: str) -> str:
    return re.sub(r"[^\w -]+", "_", composed(printable(cell))).strip(" -")[:LONGEST_NAME]


def _label_column(
    text: str, first: tuple[str, list[str]], path_column: int, named: list[int], sort: RowSort, *, has_heading: bool
) -> int:
    """Number of the column with the labels or captions: the other one of two, else the one that is called so."""
    if len(first[1]) == 2:
        return 1 - path_column
    if not has_heading:
        raise _no_pair(text, sort, *first)
    if len(named) != 1:
        columns = ", ".join(first[1])
        hint = f'Call that column "{sort.noun}", and no other one "text" or "title".'
        raise DataError(f"{text}: {first[0]}: which of the columns {columns} has the {sort.noun}s?", hint)
    return named[0]


def _first_heading(heading: list[str], wanted: set[str]) -> int:
    return next((column for column, name in enumerate(heading) if name in wanted), 0)


def _file_name(cells: list[str], column: int) -> str:
    """The last part of a path in a column; empty if the row is too short."""
    return _last_part(cells[column]) if column < len(cells) else ""


def _last_part(path: str) -> str:
    return composed(path.strip().replace("\\", "/").rstrip("/").rpartition("/")[2])


def _no_pair(text: str, sort: RowSort, where: str, cells: list[str]) -> DataError:
    return DataError(f"{text}: {where} is not `path,{sort.noun}`: {','.join(cells)[:80]}", sort.hint)


def _read_table(
    content: str, text: str, separator: str | None, sort: RowSort, files: Set[str]
) -> list[tuple[str, list[str]]]:
    """Rows that are not empty, each with its place and its cells, without empty cells at the end of a row.

    The place of a row with line breaks in quotes is its first line.
    """
    table = []
    try:
        if separator is None:
            rows: Iterable[tuple[int, list[str]]] = enumerate(_split_at_spaces(content.splitlines(), sort, files), 1)
        else:
            rows = _numbered(
                csv.reader(StringIO(content, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
            )
        for number, row in rows:
            cells = [cell.strip() for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                table.append((f"line {number}", cells))
    except csv.Error as error:
        raise DataError(f"{text} is not CSV: {error}") from error
    return _pad(table)


class _Reader(Protocol):
    """What `csv.reader` gives."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


def _numbered(reader: _Reader) -> Iterator[tuple[int, list[str]]]:
    """Rows, each with the number of its first line."""
    first = 1
    for row in reader:
        yield first, row
        first = reader.line_num + 1


def _split_at_spaces(lines: Sequence[str], sort: RowSort, files: Set[str]) -> list[list[str]]:
    """Lines as paths and labels or captions, with nothing but spaces between them.

    A label is the last word. Captions have spaces: the path before one is the first word of the line or, if that is no
    picture, the longest beginning of the line that is one. If more lines end with a picture, captions come first.
    """
    if not sort.several:
        return [line.rsplit(maxsplit=1) for line in lines]
    stems = _stems(files)
    for known in (files, stems):
        before = sum(_end_of_path(line, known) is not None for line in lines[:_SAMPLE])
        after = sum(_file_name(line.rsplit(maxsplit=1)[-1:], 0) in known for line in lines[:_SAMPLE])
        if after > before:
            return [line.rsplit(maxsplit=1) for line in lines]
        if before:
            break
    rows = []
    for line in lines:
        end = _end_of_path(line, files) or _end_of_path(line, stems)
        rows.append(line.split(maxsplit=1) if end is None else [line[:end], line[end:]])
    return rows


def _end_of_path(line: str, known: Set[str]) -> int | None:
    """Where the path ends that a line begins with; None if it begins with no path of a known name."""
    first = _SPACES.search(line)
    if first is None or _last_part(line[: first.start()]) in known:
        return first and first.start()
    ends = [match.start() for match in _SPACES.finditer(line, first.end())]
    return next((end for end in reversed(ends) if _last_part(line[:end]) in known), None)


def _stems(files: Set[str]) -> set[str]:
    return {PurePosixPath(name).stem for name in files}


def _pad(table: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Give rows that end with empty cells the length of the first row."""
    width = len(table[0][1]) if table else 0
    return [
        (where, cells + [""] * (width - len(cells))) if len(cells) > 1 else (where, cells) for where, cells in table
    ]


def _find_separator(content: str, sort: RowSort) -> str | None:
    """The separator that most of the first lines have in the same number; None if all have just spaces.

    The first row has it too: commas that only other rows have are those of numbers or of captions.
    """
    nothing = "".join(sort.separators) + " "  # what rows without cells consist of
    lines = [line for line in content.splitlines()[:_SAMPLE] if line.strip(nothing)]
    quotes = accumulate(line.count('"') for line in lines)
    first = next((number for number, so_far in enumerate(quotes, start=1) if so_far % 2 == 0), len(lines))
    best, most = None, 0
    for separator in sort.separators:
        counts = [line.rstrip(f"{separator} ").count(separator) for line in lines]
        usual = max(set(counts) - {0}, key=counts.count, default=0)
        if usual and any(counts[:first]) and counts.count(usual) > most:
            best, most = separator, counts.count(usual)
    if best is None and not (lines and all(len(line.split()) >= 2 for line in lines)):
        return ","
    return best


def _whole_numbers(rows: list[LabelRow]) -> list[LabelRow]:
    """Labels 1.0, 2.0, ... as 1, 2, ...: tables with an empty cell somewhere are often written so."""
    if not all(_WHOLE_NUMBER.fullmatch(str(row.label)) for row in rows):
        return rows
    return [replace(row, label=str(row.label).partition(".")[0]) for row in rows]

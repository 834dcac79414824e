"""Files of directions: where a new one goes, `list` and `rename`; and tables of scores."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from swincli.commands.directions.request import ListRequest, RenameRequest
from swincli.commands.model_options import open_model
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.errors import CheckpointError, DataError, UsageError, from_os_error
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.layer_ranges import format_code_layers
from swincli.synthesis.latents.named_directions import (
    SUFFIX,
    NamedDirection,
    check_name,
    directions_folder,
    known_directions,
    open_direction,
    read_direction,
    save_direction,
)
from swincli.system.overwrite import check_overwrite, check_utf8
from swincli.units import LARGEST_SEED, MOST_SEEDS, parse_number, with_decimal_point

_COLUMNS = "The file needs a line `seed,score`, and below it a seed and a number in each line."


def file_of(model: Model, name: str, out: Path | None, *, force: bool) -> Path:
    """The file of a new direction.

    Raises:
        UsageError: the name is none, or the file does not end in .safetensors.
        DataError: it exists, and `force` is off.
    """
    check_name(name)
    path = directions_folder(model) / f"{name}{SUFFIX}" if out is None else out
    if path.suffix != SUFFIX:
        raise UsageError(f"--out {path}: the file name must end in {SUFFIX}", f"For example --out {name}{SUFFIX}")
    check_overwrite([path], force=force, reason="exists already")
    check_utf8(path)
    return path


def list_files(request: ListRequest, device: torch.device, console: Console) -> Result:
    """List a model's directions. Damaged files are listed as such."""
    model = open_model(request.checkpoint, device)
    rows: list[dict[str, object]] = []
    lines: list[str] = []
    known = known_directions(model)
    width = max(map(len, known), default=0)
    if not known:
        console.say(f"{model.path} has no directions yet: `swincli directions find` finds them")
    for name, path in known.items():
        try:
            direction = read_direction(path, model)
        except (CheckpointError, DataError) as error:
            rows.append({"name": name, "path": str(path), "error": error.message})
            lines.append(f"{name:<{width}}  {error.message}")
            continue
        rows.append({"name": name, "path": str(path), **describe(direction)})
        lines.append(f"{name:<{width}}  {_line(direction)}")
    return Result({"folder": str(directions_folder(model)), "directions": rows}, lines)


def describe(direction: NamedDirection) -> dict[str, object]:
    """A direction as facts."""
    return {
        "space": direction.space,
        "layers": format_code_layers(direction.layers),
        "channels": [str(channel) for channel in direction.channels],
        "sigma": direction.sigma,
        "source": direction.source,
        "quality": dict(direction.quality),
    }


def _line(direction: NamedDirection) -> str:
    where = ",".join(map(str, direction.channels)) or f"codes {format_code_layers(direction.layers)}"
    accuracy = direction.quality.get("accuracy")
    found = f"accuracy {accuracy:.2f}, " if accuracy is not None else ""
    return f"{where}; {found}{direction.source}"


def rename_file(request: RenameRequest, device: torch.device) -> Result:
    """Give a direction another name.

    Raises:
        UsageError: there is no such direction, or the new name is none.
        DataError: the new name is taken, and `force` is off.
    """
    model = open_model(request.checkpoint, device)
    direction = open_direction(model, request.old)
    old = known_directions(model).get(request.old)
    if old is None:
        raise UsageError(f"{request.old}: give a name, not a file", "Files may simply be moved.")
    new = file_of(model, request.new, None, force=request.force)
    if new == old:
        return Result({"path": str(new)}, [str(new)])
    save_direction(new, replace(direction, name=request.new))
    old.unlink()
    return Result({"path": str(new)}, [str(new)])


def read_scores(path: Path) -> tuple[list[int], NDArray[np.float64]]:
    """Seeds and scores of a table with the columns seed and score, float64 `[N]`.

    Raises:
        DataError: the file cannot be read, lacks a column, or a line has no such seed, no number or a seed again.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text", "Save it as CSV in UTF-8.") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", _COLUMNS) from None
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    separator = next((mark for mark in ("\t", ";") if mark in text.split("\n", 1)[0]), ",")
    rows = _numbered_rows(path, text, separator)
    heading = [cell.strip().lower() for cell in next(rows, (1, []))[1]]
    if "seed" not in heading or "score" not in heading:
        raise DataError(f"{path}: line 1 names no columns seed and score", _COLUMNS)
    columns, found = (heading.index("seed"), heading.index("score")), {}
    for number, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        where = f"{path}: line {number}"
        spelled = row if separator == "," else [with_decimal_point(cell) for cell in row]
        seed, score = _score_row(spelled, columns, where)
        if seed in found:
            raise DataError(f"{where}: seed {seed} has a score already", "Give each seed once.")
        found[seed] = score
        if len(found) > MOST_SEEDS:
            raise DataError(f"{path}: more than {MOST_SEEDS:,} scores", "Give fewer.")
    return list(found), np.array(list(found.values()), np.float64)


def _numbered_rows(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Rows of a table, each with the number of its last line."""
    rows = csv.reader(text.splitlines(), delimiter=separator)
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}: line {rows.line_num} is not CSV: {error}", _COLUMNS) from error


def _score_row(row: list[str], columns: tuple[int, int], where: str) -> tuple[int, float]:
    try:
        seed_text, text = (row[column].strip() for column in columns)
    except IndexError:
        raise DataError(f"{where}: has {len(row)} columns", _COLUMNS) from None
    if not (seed_text.isascii() and seed_text.isdigit() and len(seed_text) <= 10 and int(seed_text) <= LARGEST_SEED):
        raise DataError(
            f"{where}: there is no seed {seed_text[:40]!r}", f"Seeds are whole numbers from 0 to {LARGEST_SEED}."
        )
    try:
        return int(seed_text), parse_number(text)
    except ValueError:
        raise DataError(f"{where}: {text[:40]!r} is not a number", _COLUMNS) from None

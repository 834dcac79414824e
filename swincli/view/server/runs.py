"""Run folders for the page: which there are, their curves, grids, recipes and models. Files are only read."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

from swincli.errors import DataError, SwincliError
from swincli.system.json_lines import read_records
from swincli.training.logging.observed_run import ObservedRun, RunObserver
from swincli.view.opened import RECIPE, find_runs

MOST_RUNS, MOST_POINTS = 500, 600
HEAD = "images_seen"
_GRID = re.compile(r"fakes-(\d{12,18})\.png")
_MODEL = re.compile(r"model-(\d{12,18})\.safetensors")


class RunList:
    """The runs in a folder, by their path below it; the folder's own name if it is a run itself.

    Names that a page sends are looked up here, so no other path can be reached.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._observers: dict[Path, RunObserver] = {}

    def paths(self) -> dict[str, Path]:
        """All runs by name."""
        found = {}
        for path in find_runs(self.root):
            name = path.relative_to(self.root).as_posix()
            found[path.resolve().name if name == "." else name] = path
            if len(found) >= MOST_RUNS:
                break
        return found

    def path(self, name: str) -> Path:
        """The folder of a run.

        Raises:
            DataError: there is no such run.
        """
        found = self.paths().get(name)
        if found is None:
            raise DataError(f"{name[:200]}: no such run in {self.root}")
        return found

    def overview(self) -> list[dict[str, Any]]:
        """How every run stands, the newest first."""
        rows = [self._row(name, path) for name, path in self.paths().items()]
        return sorted(rows, key=lambda row: row["touched"], reverse=True)

    def _row(self, name: str, path: Path) -> dict[str, Any]:
        row: dict[str, Any] = {"name": name, "state": "unreadable", "words": "", "touched": 0.0}
        try:
            row["touched"] = max(_time(path / file) for file in (RECIPE, "stats.jsonl", "metrics.jsonl", "samples"))
            row |= {"grids": len(grids_of(path)), "models": models_of(path)}
            run = self._observers.setdefault(path, RunObserver(path)).look()
            if not run.is_running and row["models"]:  # states may have been deleted
                run = replace(run, saved=max(run.saved or 0, *row["models"]))
            row |= _standing(run)
        except (SwincliError, OSError) as error:
            row["words"] = str(error)
        return row

    def curves(self, name: str) -> dict[str, Any]:
        """Series of stats.jsonl and metrics.jsonl by name: [[images seen, value], ...].

        Raises:
            DataError: there is no such run.
        """
        path = self.path(name)
        return {"stats": series(stats_of(path)), "metrics": series(measurements_of(path)), "mark": mark_of(path)}

    def mark(self, name: str) -> str:
        """A text that changes with the run's logs and grids.

        Raises:
            DataError: there is no such run.
        """
        return mark_of(self.path(name))

    def recipe(self, name: str) -> dict[str, Any]:
        """The recipe of a run: "text", and "keys" as section.key: value.

        Raises:
            DataError: there is no such run, or its recipe cannot be read.
        """
        path = self.path(name) / RECIPE
        try:
            text = path.read_text(encoding="utf-8")
            return {"text": text, "keys": _flat(tomllib.loads(text))}
        except (OSError, ValueError) as error:
            raise DataError(f"{name}: its recipe cannot be read: {error}") from error

    def difference(self, one: str, other: str) -> list[dict[str, Any]]:
        """The keys in which two recipes differ: "key", "one", "other"; None where a recipe lacks it.

        Raises:
            DataError: there is no such run, or a recipe cannot be read.
        """
        first, second = self.recipe(one)["keys"], self.recipe(other)["keys"]
        keys = sorted({*first, *second}, key=lambda key: (key.partition(".")[0], key))
        differing = [key for key in keys if first.get(key) != second.get(key)]
        return [{"key": key, "one": first.get(key), "other": second.get(key)} for key in differing]

    def grids(self, name: str) -> list[int]:
        """Images seen at every sample grid of a run, ascending.

        Raises:
            DataError: there is no such run.
        """
        return sorted(grids_of(self.path(name)))

    def grid(self, name: str, images_seen: int | None) -> Path:
        """The file of a sample grid; of the grid of training images for None.

        Raises:
            DataError: there is no such run or grid.
        """
        path = self.path(name)
        found = path / "reals.png" if images_seen is None else grids_of(path).get(images_seen)
        if found is None or not found.is_file():
            raise DataError(f"{name}: no such grid")
        return found

    def model(self, name: str, images_seen: int) -> Path:
        """The file of a model.

        Raises:
            DataError: there is no such run or model.
        """
        path = self.path(name)
        for file in path.glob("model-*.safetensors"):
            match = _MODEL.fullmatch(file.name)
            if match is not None and int(match[1]) == images_seen:
                return file
        raise DataError(f"{name}: no model after {images_seen:,} images")


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _standing(run: ObservedRun) -> dict[str, Any]:
    """State and metrics of a run."""
    history = run.history
    return {
        "state": run.state,
        "words": run.words,
        "images_seen": run.images_seen,
        "total": run.total,
        "resolution": run.recipe.model.size if run.recipe else None,
        "sec_per_kimg": None if (pace := run.pace()) is None else 1000 * pace,
        "best": {name: {"value": value, "images_seen": at} for name, (value, at) in history.best.items()}
        if history
        else {},
    }


def grids_of(path: Path) -> dict[int, Path]:
    """The sample grids of a run by images seen."""
    return {int(match[1]): file for file in (path / "samples").glob("*.png") if (match := _GRID.fullmatch(file.name))}


def models_of(path: Path) -> list[int]:
    """Images seen at every model of a run, ascending."""
    names = (_MODEL.fullmatch(file.name) for file in path.glob("model-*.safetensors"))
    return sorted(int(match[1]) for match in names if match)


def mark_of(path: Path) -> str:
    """A text that changes with the logs and grids of a run."""
    parts = []
    for name in ("stats.jsonl", "metrics.jsonl", "samples"):
        with suppress(OSError):
            stat = (path / name).stat()
            parts.append(f"{stat.st_mtime_ns:x}-{stat.st_size:x}")
    return ".".join(parts)


def stats_of(path: Path) -> Iterable[tuple[float, dict[str, Any]]]:
    """Lines of stats.jsonl: images seen, and all else."""
    for record in read_records(path / "stats.jsonl"):
        if _is_number(seen := record.get(HEAD)):
            yield seen, {name: value for name, value in record.items() if name != HEAD}


def measurements_of(path: Path) -> Iterable[tuple[float, dict[str, Any]]]:
    """Lines of metrics.jsonl, in order of images seen: images seen, and the metrics.

    What was measured with different numbers of images is not comparable, so the names say how many.
    """
    found = []
    for record in read_records(path / "metrics.jsonl"):
        with suppress(KeyError, TypeError, AttributeError):
            number = record["protocol"]["fakes"]["num"]
            named = {f"{name} ({number:,} images)": value for name, value in record["metrics"].items()}
            if _is_number(record[HEAD]):
                found.append((record[HEAD], named))
    return sorted(found, key=lambda line: line[0])


def series(lines: Iterable[tuple[float, dict[str, Any]]]) -> dict[str, list[list[float]]]:
    """Series of numbers by name, each thinned to `MOST_POINTS` by means of neighbours."""
    found: dict[str, list[list[float]]] = {}
    for seen, record in lines:
        for name, value in record.items():
            if _is_number(value):
                found.setdefault(name, []).append([seen, float(value)])
    return {name: _thin(points) for name, points in found.items()}


def _thin(points: list[list[float]]) -> list[list[float]]:
    step = -(-len(points) // MOST_POINTS)
    if step <= 1:
        return points
    groups = [points[start : start + step] for start in range(0, len(points), step)]
    return [[sum(column) / len(group) for column in zip(*group, strict=True)] for group in groups]


def _is_number(value: Any) -> TypeGuard[float]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < 1e300 and math.isfinite(value)


def _flat(recipe: dict[str, Any], start: str = "") -> dict[str, str]:
    """Values of nested tables by dotted key, as text."""
    found: dict[str, str] = {}
    for key, value in recipe.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{start}{key}.")
        else:
            found[f"{start}{key}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return found

"""What several runs have measured, side by side: only what was measured alike can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swincli.errors import DataError

Conditions = tuple[str, ...]

CONDITIONS = ("fakes", "truncation", "reference", "pictures of the reference", "detector", "resize")
"""What two measurements must share to be compared."""


@dataclass(frozen=True)
class Measurement:
    """One line of a run's metrics.jsonl; `conditions` are in the order of `CONDITIONS`."""

    images_seen: int | None
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    conditions: Conditions
    time: str


@dataclass(frozen=True)
class RunRecord:
    """A run's name and what was measured of it, the newest last."""

    name: str
    measurements: list[Measurement]

    def newest(self, name: str, conditions: Conditions | None = None) -> Measurement | None:
        """The newest measurement that holds a value; of some conditions if given."""
        for measurement in reversed(self.measurements):
            if name in measurement.values and conditions in (None, measurement.conditions):
                return measurement
        return None


@dataclass(frozen=True)
class Cell:
    """A value of a run, and whether it was measured as the others in its column were."""

    value: float
    interval: tuple[float, float] | None
    images_seen: int | None
    comparable: bool


@dataclass(frozen=True)
class Row:
    """A run's values by name."""

    name: str
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other.

    Attributes:
        names: Of the values.
        rows: One a run.
        conditions: By a value's name: how most runs have measured it.
        cautions: Where a run has measured otherwise.
        runs: Everything that they have measured.
    """

    names: list[str]
    rows: list[Row]
    conditions: dict[str, Conditions]
    cautions: list[str]
    runs: list[RunRecord]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: "runs" and "cautions"."""
        rows = [
            {"run": row.name, "metrics": {name: asdict(cell) for name, cell in row.cells.items()}} for row in self.rows
        ]
        return {"runs": rows, "cautions": self.cautions}


def read_run(path: Path) -> RunRecord:
    """What a run folder's metrics.jsonl holds; a line that a kill cut short, or that is none, is passed over.

    Raises:
        DataError: there is no such run, or nothing was measured of it.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such run", "--compare takes run folders, such as runs/faces.")
    log = path / "metrics.jsonl"
    found = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []:
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            found.append(_measurement(json.loads(line)))
    if not found:
        raise DataError(
            f"{path}: nothing was measured of this run", f"Measure it: swincli evaluate --checkpoint {path}"
        )
    return RunRecord(str(path), found)


def compare_runs(runs: Sequence[RunRecord]) -> Comparison:
    """The newest values of every run that are comparable.

    Of each value that is the way of measuring that most runs share, of several the newest. A run that has not been
    measured so shows its own newest value, marked, and a caution says what differs.

    Args:
        runs: At least one, each with at least one measurement.
    """
    names = list(dict.fromkeys(name for run in runs for entry in reversed(run.measurements) for name in entry.values))
    conditions = {name: _shared(runs, name) for name in names}
    rows: list[Row] = []
    differing: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        cells = {}
        for name in names:
            alike = run.newest(name, conditions[name])
            entry = alike or run.newest(name)
            if entry is None:
                continue
            comparable = alike is not None
            cells[name] = Cell(entry.values[name], entry.intervals.get(name), entry.images_seen, comparable)
            if not comparable:
                difference = _difference(entry.conditions, conditions[name])
                differing.setdefault((run.name, difference), []).append(name)
        rows.append(Row(run.name, cells))
    cautions = [
        f"{run}: {', '.join(values)} cannot be compared with the others: {difference}"
        for (run, difference), values in differing.items()
    ]
    return Comparison(names, rows, conditions, cautions, list(runs))


def _measurement(record: Mapping[str, Any]) -> Measurement:
    protocol = record["protocol"]
    fakes, reference, detector = protocol["fakes"], protocol["reference"], protocol["detector"]
    drawn = reference.get("drawn_from")
    number = "unknown" if reference["num"] is None else f"{reference['num']:,}"
    truncation = fakes.get("truncation")
    conditions = (
        f"{fakes['num']:,}",
        "none" if truncation in (None, 1.0) else f"{truncation:g}",
        str(reference["content_hash"])[:12],
        number if drawn is None else f"{number} of {drawn:,} by seed {reference.get('drawn_with')}",
        f"{detector['name']} {str(detector['sha256'])[:12]}",
        str(protocol["resize"]),
    )
    images_seen = record["images_seen"]
    return Measurement(
        None if images_seen is None else int(images_seen),
        {str(name): float(value) for name, value in record["metrics"].items()},
        {str(name): (float(low), float(high)) for name, (low, high) in record.get("intervals", {}).items()},
        conditions,
        str(record["time"]),
    )


def _shared(runs: Sequence[RunRecord], name: str) -> Conditions:
    """The conditions of a value that most runs have measured it by, of several those of the newest measurement."""
    holders: dict[Conditions, set[int]] = {}
    times: dict[Conditions, str] = {}
    for number, run in enumerate(runs):
        for entry in run.measurements:
            if name in entry.values:
                holders.setdefault(entry.conditions, set()).add(number)
                times[entry.conditions] = max(times.get(entry.conditions, ""), entry.time)
    return max(holders, key=lambda conditions: (len(holders[conditions]), times[conditions]))


def _difference(own: Conditions, others: Conditions) -> str:
    return ", ".join(
        f"{label} {mine} and not {usual}"
        for label, mine, usual in zip(CONDITIONS, own, others, strict=True)
        if mine != usual
    )

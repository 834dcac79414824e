"""Comparison of runs by their metrics; only values measured under the same conditions are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swincli.errors import DataError
from swincli.metrics.networks.resize import INCEPTION_SIDE
from swincli.metrics.networks.weight_files import FILE_PIXELS, INCEPTION_PIXELS
from swincli.metrics.plots.comparison import Curve, plot_curves
from swincli.metrics.registry import METRICS
from swincli.system.json_lines import read_records
from swincli.units import number_from_json

Conditions = tuple[str, ...]

_ROWS = {value: row for row in METRICS.values() for value in (row.headline, *row.others)}
_FAMILIES = {family: row for row in METRICS.values() for family in row.families}

CONDITIONS = ("fakes", "truncation", "reference", "images of the reference", "detector", "resize")
"""Conditions that two comparable measurements share."""

_OF_REALS, _OF_DETECTOR = CONDITIONS[2:4], CONDITIONS[4:]


@dataclass(frozen=True)
class Measurement:
    """One line of a run's metrics.jsonl; `conditions` has the order of `CONDITIONS`."""

    images_seen: int | None
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    conditions: Conditions
    time: str

    def conditions_of(self, name: str) -> Conditions:
        """The conditions that a value depends on; the others are empty."""
        row = _ROWS.get(name) or _FAMILIES.get(name.partition(":")[0])
        without = (
            *(() if row is None or row.uses_reals else _OF_REALS),
            *(() if row is None or row.uses_detector else _OF_DETECTOR),
        )
        pairs = zip(CONDITIONS, self.conditions, strict=True)
        return tuple("" if label in without else condition for label, condition in pairs)


@dataclass(frozen=True)
class RunMetrics:
    """A run's name and its measurements, the newest last."""

    name: str
    measurements: list[Measurement]

    def newest(self, name: str, conditions: Conditions | None = None) -> Measurement | None:
        """The newest measurement with this value, under the given conditions if not None; else None."""
        for measurement in reversed(self.measurements):
            if name in measurement.values and conditions in (None, measurement.conditions_of(name)):
                return measurement
        return None


@dataclass(frozen=True)
class Cell:
    """A value of a run, and whether its conditions are those of the other runs."""

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
    """Several runs side by side.

    Attributes:
        names: Names of the values.
        rows: One row per run.
        conditions: Conditions that most runs share, by value name.
        cautions: One text for each run and difference of conditions.
        runs: All measurements of the runs.
    """

    names: list[str]
    rows: list[Row]
    conditions: dict[str, Conditions]
    cautions: list[str]
    runs: list[RunMetrics]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: "runs" and "cautions"."""
        rows = [
            {"run": row.name, "metrics": {name: asdict(cell) for name, cell in row.cells.items()}} for row in self.rows
        ]
        return {"runs": rows, "cautions": self.cautions}


def read_run(path: Path) -> RunMetrics:
    """Read the metrics.jsonl of a run folder; invalid lines, such as truncated ones, are skipped.

    Raises:
        DataError: no such run, or no measurements in it.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such run", "--compare needs run folders, such as runs/faces.")
    log = path / "metrics.jsonl"
    found = []
    for record in read_records(log):
        with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):
            found.append(_measurement(record))
    if not found:
        raise DataError(f"{path}: no measurements of this run", f"Measure it: swincli evaluate --checkpoint {path}")
    return RunMetrics(str(path), found)


def compare_runs(runs: Sequence[RunMetrics]) -> Comparison:
    """The newest comparable values of all runs.

    For each value, the conditions that most runs share are chosen; in a tie, those of the newest measurement. A run
    without a measurement under these conditions shows its newest value, marked, and a caution names the difference.

    Args:
        runs: At least one run, each with at least one measurement.
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
                difference = _difference(entry.conditions_of(name), conditions[name])
                differing.setdefault((run.name, difference), []).append(name)
        rows.append(Row(run.name, cells))
    cautions = [
        f"{run}: {', '.join(values)} not comparable with the other runs: {difference}"
        for (run, difference), values in differing.items()
    ]
    return Comparison(names, rows, conditions, cautions, list(runs))


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """Plot all values over images seen, one panel per value and one line per run, as a PNG.

    Raises:
        DataError: no value has a known number of images seen.
        ResourceError: the file cannot be written.
    """
    panels = {name: _curves(comparison, name) for name in comparison.names if not name.endswith("_std")}
    panels = {name: curves for name, curves in panels.items() if curves}
    if not panels:
        hint = "Only models in a run folder know how many images they have seen."
        raise DataError("--compare: no measurement has a number of images seen to plot over", hint)
    plot_curves(panels, [run.name for run in comparison.runs], path)


def _curves(comparison: Comparison, name: str) -> list[Curve]:
    """The finite values of one name: one curve for each run and conditions."""
    curves = []
    for index, run in enumerate(comparison.runs):
        groups: dict[Conditions, list[tuple[int, Measurement]]] = {}
        for entry in run.measurements:
            if entry.images_seen is not None and math.isfinite(entry.values.get(name, math.nan)):
                groups.setdefault(entry.conditions_of(name), []).append((entry.images_seen, entry))
        for conditions, entries in groups.items():
            ordered = sorted(entries, key=lambda pair: pair[0])
            points = [(seen, entry.values[name]) for seen, entry in ordered]
            intervals = [(seen, *entry.intervals[name]) for seen, entry in ordered if name in entry.intervals]
            curves.append(Curve(index, points, intervals, conditions == comparison.conditions[name]))
    return curves


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
        " ".join([str(detector["name"]), str(detector["sha256"])[:12], *_unusual_pixels(protocol)]),
        str(protocol["resize"]),
    )
    images_seen = record["images_seen"]
    intervals = record.get("intervals", {}).items()
    return Measurement(
        None if images_seen is None else int(images_seen),
        {str(name): number_from_json(value) for name, value in record["metrics"].items()},
        {str(name): (number_from_json(low), number_from_json(high)) for name, (low, high) in intervals},
        conditions,
        str(record["time"]),
    )


def _unusual_pixels(protocol: Mapping[str, Any]) -> list[str]:
    """The normalisation of the pixels if it is not the detector's default. Earlier records do not name it."""
    pixels, for_inception = (
        protocol["detector"].get("pixels"),
        f"{INCEPTION_SIDE}x{INCEPTION_SIDE}" in protocol["resize"],
    )
    usual = INCEPTION_PIXELS if for_inception else FILE_PIXELS
    return [] if pixels in (None, usual) else [f"with {pixels} pixels"]


def _shared(runs: Sequence[RunMetrics], name: str) -> Conditions:
    """The conditions of a value that most runs share; in a tie, those of the newest measurement."""
    holders: dict[Conditions, set[int]] = {}
    times: dict[Conditions, str] = {}
    for number, run in enumerate(runs):
        for entry in run.measurements:
            if name in entry.values:
                own = entry.conditions_of(name)
                holders.setdefault(own, set()).add(number)
                times[own] = max(times.get(own, ""), entry.time)
    return max(holders, key=lambda conditions: (len(holders[conditions]), times[conditions]))


def _difference(own: Conditions, others: Conditions) -> str:
    return ", ".join(
        f"{label} {mine} instead of {usual}"
        for label, mine, usual in zip(CONDITIONS, own, others, strict=True)
        if mine != usual
    )

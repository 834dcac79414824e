"""Everything that a report says about a run and that its folder and its store know; no network is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from swincli.data.store.manifest import Manifest, is_store, read_manifest
from swincli.diagnosis.cost import recipe_cost
from swincli.errors import SwincliError
from swincli.metrics.compare import Measurement, RunMetrics, read_run
from swincli.metrics.registry import METRICS
from swincli.model.files.ancestry import Ancestors, read_ancestors
from swincli.model.files.find_checkpoint import METADATA, newest_model
from swincli.model.files.tensor_file import read_about
from swincli.publishing.recipe_changes import RecipeChanges, recipe_changes
from swincli.recipe import Recipe
from swincli.recipe.private import without_private_keys
from swincli.system.json_lines import read_records
from swincli.training.logging.observed_run import ObservedRun, RunObserver
from swincli.training.run.environment import Session, read_environment
from swincli.training.run.folder import RunFolder

Record = dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """What the run took so far.

    Attributes:
        seconds: Of training steps, over all sessions; None before the first line of statistics.
        wall: Seconds from the first to the last line of statistics, pauses included.
        sec_per_kimg: Seconds of steps per thousand images, over the whole run.
        memory: Most resident memory of the main process, in bytes.
        gpu_memory: Most memory of its GPU.
        parameters: Trained values of G and of D.
        multiply_adds: Of G for one image.
        disk: Bytes of the run folder.
    """

    seconds: float | None
    wall: float | None
    sec_per_kimg: float | None
    memory: int | None
    gpu_memory: int | None
    parameters: tuple[int, int] | None
    multiply_adds: int | None
    disk: int


@dataclass(frozen=True)
class MetricRow:
    """A value of the newest measurement, and the best one made in the same way.

    Attributes:
        name: Such as "fid".
        value, interval, images_seen: Of the newest measurement that has it.
        best: Value and images seen of the best; None if it is the newest, or if the value does not rank models.
        conditions: How it was measured: names and texts.
    """

    name: str
    value: float
    interval: tuple[float, float] | None
    images_seen: int | None
    best: tuple[float, int] | None
    conditions: tuple[str, ...]
    higher_is_better: bool | None


@dataclass(frozen=True)
class RunFacts:
    """A run at a moment.

    Attributes:
        path: The run folder.
        observed: State and progress.
        recipe: Its recipe, without private keys.
        changes: The recipe beside the defaults and beside another.
        stats: All lines of stats.jsonl.
        metrics: All measurements; None without one.
        protocols: The lines of metrics.jsonl with a whole protocol, in their order: the last was measured last.
        manifest: Of the store of its images; None if it cannot be read.
        store_problem: Why not.
        environment: Its sessions with what each has changed.
        ancestors: Models that the run started from.
        model: Its newest model; None without one.
        cost: What it took.
        made: When the report was made.
    """

    path: Path
    observed: ObservedRun
    recipe: Recipe
    changes: RecipeChanges
    stats: list[Record]
    metrics: RunMetrics | None
    protocols: list[Record]
    manifest: Manifest | None
    store_problem: str | None
    environment: list[Session]
    ancestors: Ancestors
    model: Path | None
    cost: Cost
    made: str = field(default_factory=lambda: datetime.now().astimezone().isoformat(" ", "minutes"))

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return self.path.resolve().name

    @property
    def rows(self) -> list[MetricRow]:
        """Newest values of all metrics."""
        return [] if self.metrics is None else _rows(self.metrics)


def read_facts(path: Path, base: str | None = None) -> RunFacts:
    """Read a run folder, whether the run goes on, was stopped, or is finished.

    Args:
        path: The run folder.
        base: Recipe to compare with; None for the most similar shipped one.

    Raises:
        TrainingError: there is no run in the folder.
        RecipeError: its recipe, or the base, cannot be read.
    """
    observed, folder = RunObserver(path).look(), RunFolder(path)
    recipe = without_private_keys(observed.recipe or Recipe())
    stats = list(read_records(folder.stats))
    manifest, problem = _manifest(recipe)
    model = newest_model(path)
    records = [record for record in read_records(folder.metrics) if _has_protocol(record)]
    return RunFacts(
        path=path,
        observed=observed,
        recipe=recipe,
        changes=recipe_changes(recipe, base),
        stats=stats,
        metrics=_metrics(path),
        protocols=records,
        manifest=manifest,
        store_problem=problem,
        environment=read_environment(folder.environment),
        ancestors=_ancestors(model),
        model=model,
        cost=_cost(path, recipe, stats),
    )


def number(record: Mapping[str, Any], name: str) -> float | None:
    """A finite number of a record; None if there is none."""
    value = record.get(name)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None  # type: ignore[arg-type]


def series_of(stats: list[Record], name: str) -> list[tuple[float, float]]:
    """Images seen and value of a scalar, from the lines that have it."""
    pairs = ((number(record, "images_seen"), number(record, name)) for record in stats)
    return sorted((seen, value) for seen, value in pairs if seen is not None and value is not None)


def _has_protocol(record: Record) -> bool:
    match record:
        case {
            "metrics": dict(),
            "protocol": {
                "fakes": {"num": int()},
                "reference": dict(),
                "detector": {"name": str(), "sha256": str()},
            },
        }:
            return True
    return False


def _manifest(recipe: Recipe) -> tuple[Manifest | None, str | None]:
    if recipe.data.path is None:
        return None, "the recipe names no store"
    if not is_store(recipe.data.path):
        return None, f"{recipe.data.path}: there is no store (any more)"
    try:
        return read_manifest(Path(recipe.data.path)), None
    except SwincliError as error:
        return None, error.message


def _metrics(path: Path) -> RunMetrics | None:
    try:
        return read_run(path)
    except SwincliError:
        return None


def _ancestors(model: Path | None) -> Ancestors:
    if model is None:
        return ()
    try:
        about = read_about(model, METADATA)
    except SwincliError:
        return ()
    return read_ancestors(about) if isinstance(about, dict) else ()


def _cost(path: Path, recipe: Recipe, stats: list[Record]) -> Cost:
    seconds = next((value for record in reversed(stats) if (value := number(record, "seconds")) is not None), None)
    seen = next((value for record in reversed(stats) if (value := number(record, "images_seen")) is not None), None)
    begun = number(stats[0], "seconds") if stats else None
    times = [at for record in stats if (at := _moment(record.get("time"))) is not None]
    wall = times[-1] - times[0] + (begun or 0.0) if len(times) > 1 else None
    memory, gpu = (max((value for _, value in series_of(stats, f"memory/{at}")), default=None) for at in ("cpu", "gpu"))
    sizes = None
    with suppress(SwincliError, RuntimeError):
        sizes = recipe_cost(recipe)
    return Cost(
        seconds=seconds,
        wall=wall,
        sec_per_kimg=1000 * seconds / seen if seconds and seen else None,
        memory=None if memory is None else int(memory),
        gpu_memory=None if gpu is None else int(gpu),
        parameters=None if sizes is None else (sizes.generator.parameters, sizes.discriminator.parameters),
        multiply_adds=None if sizes is None else sizes.generator.multiply_adds,
        disk=_disk(path),
    )


def _disk(path: Path) -> int:
    total = 0
    for file in path.rglob("*"):
        with suppress(OSError):  # a running run replaces its files
            total += file.stat().st_size if file.is_file() else 0
    return total


def _moment(text: Any) -> float | None:
    with suppress(TypeError, ValueError, OverflowError):
        return datetime.fromisoformat(text).timestamp()
    return None


_DIRECTIONS = {metric.headline: metric.higher_is_better for metric in METRICS.values()}


def _rows(metrics: RunMetrics) -> list[MetricRow]:
    names = list(dict.fromkeys(name for entry in reversed(metrics.measurements) for name in entry.values))
    return [_row(metrics, name) for name in names if not name.endswith("_std")]


def _row(metrics: RunMetrics, name: str) -> MetricRow:
    """The value of the model that has seen most images; of several, the last that was measured."""
    having = [entry for entry in metrics.measurements if name in entry.values]
    newest = max(enumerate(having), key=lambda pair: (pair[1].images_seen or 0, pair[0]))[1]
    conditions = newest.conditions_of(name)
    better = _DIRECTIONS.get(name)
    best: Measurement | None = None
    if better is not None:
        alike = [entry for entry in having if entry.conditions_of(name) == conditions and entry.images_seen is not None]
        alike = [entry for entry in alike if math.isfinite(entry.values[name])]
        best = (max if better else min)(alike, key=lambda entry: entry.values[name], default=None)
    return MetricRow(
        name,
        newest.values[name],
        newest.intervals.get(name),
        newest.images_seen,
        None if best is None or best is newest else (best.values[name], best.images_seen or 0),
        conditions,
        better,
    )

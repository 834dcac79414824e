"""Evaluation from end to end: both sides go through the detector, then every metric is computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from swincli.console import Console
from swincli.errors import DataError, SwincliError, UsageError
from swincli.metrics.confidence.intervals import Interval
from swincli.metrics.metric import Context, Intervals, Metric, Values
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.networks.judges import check_judge, judge_cautions, probe_cautions
from swincli.metrics.protocol import DetectorRecord, Protocol, ReferenceRecord, library_versions
from swincli.metrics.registry import METRICS
from swincli.metrics.streams.features import FAKES_ONLY, SideStatistics, Statistic
from swincli.metrics.streams.images import ImageSet, ImageStream, count_on_both_sides
from swincli.metrics.streams.labels import Labelled
from swincli.metrics.streams.reference_cache import measure_reference, reference_key
from swincli.metrics.streams.reference_files import ReferenceStatistics, save_statistics
from swincli.metrics.streams.shards import gather_statistics
from swincli.model.files.model_file import Model
from swincli.system.distributed import Processes
from swincli.units import format_duration

T = TypeVar("T")

FEW_REALS = 10_000  # up to this number the reals are measured again if an interval needs more statistics of them


@dataclass(frozen=True)
class Evaluation:
    """Values by name, the protocol, cautions about the values, and 95 % intervals of some values."""

    values: dict[str, float]
    protocol: Protocol
    cautions: list[str]
    intervals: dict[str, Interval] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: "metrics", "protocol", "cautions" and "intervals"."""
        return {
            "metrics": self.values,
            "protocol": asdict(self.protocol),
            "cautions": self.cautions,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
        }


def evaluate(
    fakes: ImageStream,
    reference: ImageSet | ReferenceStatistics,
    metrics: Sequence[str],
    detector: Detector,
    *,
    console: Console,
    seed: int = 0,
    batch: int | None = None,
    model: Model | None = None,
    plots: Path | None = None,
    intervals: bool | None = False,
    preset: str | None = None,
    processes: Processes | None = None,
    force: bool = False,
    labelled: Labelled | None = None,
) -> Evaluation:
    """Measure fakes against a reference.

    With several processes, each computes the features of its share of the images. Rank 0 computes the metrics and
    broadcasts the values.

    Args:
        fakes: The fakes; read once.
        reference: The real images, all of which are used and whose statistics are cached; or a file of statistics.
        metrics: Names of `METRICS`.
        detector: Extracts the features.
        console: Shows progress.
        seed: Seed of the metrics' random draws, recorded in the protocol.
        batch: Images per batch of the detector; 32 on a CPU, 64 elsewhere.
        model: The model that generates the fakes, if any.
        plots: Folder for the metrics' plots; None for no plots.
        intervals: Whether to add 95 % intervals; None adds them for metrics with too few images.
        preset: Name of the preset, recorded in the protocol.
        processes: The processes that measure together; all arguments but the share of the fakes are the same.
        force: Measure also by the network that the model's D looked through.
        labelled: Labels of both sides, for metrics that use them.

    Raises:
        PeerFailedError: on ranks other than 0, if any rank fails; rank 0 raises the error itself.
        DataError: an image cannot be read, there are fewer images than stated or than a metric needs, or a file of
            statistics is of another detector or resize or lacks a statistic.
        UsageError: a metric needs class logits and the detector has none, or it needs a model and there is none; or the
            model's D looked through the detector.
    """
    processes = processes or Processes()
    if not force:
        processes.main_first(lambda: check_judge(fakes.record, detector))
    stored = None if isinstance(reference, ReferenceStatistics) else reference.source
    drawn = 1.0 if fakes.record.truncation is None else fakes.record.truncation
    context = Context(seed, detector.device, model, console, processes, labelled, detector, stored, drawn)
    plan = processes.main_first(lambda: _make_plan(metrics, fakes, reference, detector, intervals, plots, context))
    batch = batch or default_detector_batch(detector)
    reals = _reference_statistics(reference, detector, plan, batch, console, processes)
    fake_needs = plan.needs | plan.bootstrap_needs
    fake_statistics = _fake_statistics(fakes, detector, fake_needs, batch, console, processes)
    images = None if isinstance(reference, ReferenceStatistics) else reference
    result_of = _CallOnce[Any](lambda measure: measure(fake_statistics, reals.statistics, context))
    values: Values = {}
    for row in plan.rows.values():
        if row.collective:
            result_of(row.measure)
        compute = partial(_values, row, result_of, plots, fake_statistics, images, console)
        values |= processes.from_main(compute)
    protocol = _protocol(fakes, reals.record, detector, plan, seed, preset)
    cautions = [f"under {plan.rows[name].enough:,} images, {plan.rows[name].caution}" for name in plan.too_few]
    cautions += [*_size_cautions(fakes, reals.record), *_overlap_cautions(fakes, images), *reals.cautions]
    probed = [name for name, row in plan.rows.items() if any(value.startswith(row.probed) for value in values)]
    cautions += [*judge_cautions(fakes.record, detector), *probe_cautions(fakes.record, probed)]
    found = processes.from_main(lambda: _intervals(plan, result_of, fake_statistics, reals.statistics, context))
    return Evaluation(values, protocol, cautions, found)


def save_reference(
    path: Path,
    reference: ImageSet,
    metrics: Sequence[str],
    detector: Detector,
    *,
    console: Console,
    batch: int | None = None,
    intervals: bool = False,
    processes: Processes | None = None,
) -> ReferenceRecord:
    """Write the statistics of a reference that metrics need to a file that replaces the images.

    Args:
        path: The `.npz`.
        reference: The real images.
        metrics: Names of `METRICS`.
        detector: Extracts the features.
        console: Shows progress.
        batch: Images per batch of the detector; 32 on a CPU, 64 elsewhere.
        intervals: Whether to add what the metrics' intervals need.
        processes: The processes that share the images; rank 0 writes the file.

    Raises:
        PeerFailedError: on ranks other than 0, if any rank fails; rank 0 raises the error itself.
        DataError: an image cannot be read.
        ResourceError: the file cannot be written.
    """
    processes = processes or Processes()
    always: frozenset[Statistic] = frozenset({"moments"})
    rows = [METRICS[name] for name in metrics]
    needs = always.union(*(row.needs for row in rows))
    if intervals:
        needs = needs.union(*(row.bootstrap_needs for row in rows))
    batch = batch or default_detector_batch(detector)
    record, statistics = measure_reference(reference, detector, needs - FAKES_ONLY, batch, console, processes)
    processes.from_main(lambda: save_statistics(path, record, statistics, detector, reference.look()))
    return record


def default_detector_batch(detector: Detector) -> int:
    """Images per batch of a detector: 32 on a CPU, 64 elsewhere."""
    return 32 if detector.device.type == "cpu" else 64


class _CallOnce(Generic[T]):
    """Calls each function once and keeps its result, so that metrics with the same function share the work."""

    def __init__(self, call: Callable[[Callable[..., Any]], T]) -> None:
        self._call = call
        self._results: dict[Callable[..., Any], T] = {}

    def __call__(self, function: Callable[..., Any]) -> T:
        if function not in self._results:
            self._results[function] = self._call(function)
        return self._results[function]


@dataclass(frozen=True)
class _EvaluationPlan:
    """What to compute.

    Attributes:
        rows: The metrics by name.
        needs: Statistics that the metrics and their plots need.
        too_few: Names of the metrics with fewer images than `enough`.
        with_interval: Names of the metrics with intervals.
        bootstrap_needs: Statistics that these intervals need besides.
    """

    rows: dict[str, Metric[Any]]
    needs: frozenset[Statistic]
    too_few: list[str]
    with_interval: list[str]
    bootstrap_needs: frozenset[Statistic]


def _make_plan(
    metrics: Sequence[str],
    fakes: ImageStream,
    reference: ImageSet | ReferenceStatistics,
    detector: Detector,
    intervals: bool | None,
    plots: Path | None,
    context: Context,
) -> _EvaluationPlan:
    rows = {name: METRICS[name] for name in metrics}
    for name, row in rows.items():
        if "logits" in row.needs and not detector.classes:
            hint = "Use one with classes: --detector efficientnet"
            raise UsageError(f"--metric {name}: {detector.name} has no class logits", hint)
    smaller = _smaller_count(fakes, reference)
    counts = {name: smaller if row.uses_reals else fakes.record.num for name, row in rows.items()}
    for name, row in rows.items():
        if counts[name] < row.least:
            raise DataError(f"--metric {name}: needs at least {row.least} images per side, not {counts[name]}")
        row.check(context)
    too_few = [name for name, row in rows.items() if counts[name] < row.enough]
    requested = [] if intervals is False else too_few if intervals is None else list(rows)
    with_interval = [name for name in requested if rows[name].interval is not None]
    return _EvaluationPlan(
        rows,
        frozenset().union(*(row.needs if plots is None else row.needs | row.plot_needs for row in rows.values())),
        too_few,
        with_interval,
        frozenset().union(*(rows[name].bootstrap_needs for name in with_interval)),
    )


def _smaller_count(fakes: ImageStream, reference: ImageSet | ReferenceStatistics) -> int:
    """Number of images of the smaller side; of the fakes if that of the reference is unknown."""
    count = reference.record.num if isinstance(reference, ReferenceStatistics) else reference.count
    return fakes.record.num if count is None else min(fakes.record.num, count)


@dataclass(frozen=True)
class _Reals:
    """The real side: its record for the protocol, its statistics, and cautions about them."""

    record: ReferenceRecord
    statistics: SideStatistics
    cautions: list[str]


def _reference_statistics(
    reference: ImageSet | ReferenceStatistics,
    detector: Detector,
    plan: _EvaluationPlan,
    batch: int,
    console: Console,
    processes: Processes,
) -> _Reals:
    """Statistics of the reference, with those for intervals if there are few reals."""
    needs = plan.needs - FAKES_ONLY
    if isinstance(reference, ReferenceStatistics):
        processes.main_first(lambda: reference.require(detector, needs))
        return _Reals(reference.record, reference.statistics, reference.cautions)
    if not needs:
        record = processes.from_main(lambda: reference_key(reference, detector, console)[1])
        return _Reals(record, SideStatistics(reference.count), [])
    wanted = needs | plan.bootstrap_needs if reference.count <= FEW_REALS else needs
    return _Reals(*measure_reference(reference, detector, wanted, batch, console, processes), [])


def _fake_statistics(
    fakes: ImageStream,
    detector: Detector,
    needs: frozenset[Statistic],
    batch: int,
    console: Console,
    processes: Processes,
) -> SideStatistics:
    if not needs:  # the metrics use the model and no images
        return SideStatistics(fakes.record.num)
    started, num = time.monotonic(), fakes.record.num
    with console.progress("Fakes", num) as advance:
        statistics = gather_statistics(fakes.images, num, detector, needs, batch, advance, processes)
    processes.from_main(lambda: _require_all(statistics.count, fakes))
    seconds = time.monotonic() - started
    rate = statistics.count / max(seconds, 1e-9)
    console.say(f"Fakes: {statistics.count:,} images in {format_duration(seconds)}, {rate:.1f} images/s")
    return statistics


def _require_all(count: int, fakes: ImageStream) -> None:
    if count != fakes.record.num or count < 2:
        raise DataError(f"{fakes.record.source}: gave {count} images, not {max(2, fakes.record.num)}")


def _values(
    row: Metric[Any],
    result_of: _CallOnce[Any],
    plots: Path | None,
    fakes: SideStatistics,
    images: ImageSet | None,
    console: Console,
) -> Values:
    """The values of a metric, after its plot was drawn; rank 0 only. A plot that cannot be drawn costs no values."""
    result = result_of(row.measure)
    values = row.values(result)
    if plots is not None and row.plot is not None:
        try:
            row.plot(plots, result, fakes, images)
        except SwincliError as error:
            console.warn(f"no plot of {', '.join(values)}: {error.message}")
    return values


def _intervals(
    plan: _EvaluationPlan,
    result_of: _CallOnce[Any],
    fakes: SideStatistics,
    reals: SideStatistics,
    context: Context,
) -> Intervals:
    """The 95 % intervals of the planned metrics; rank 0 only."""
    deviation_of = _CallOnce[Any](lambda bootstrap: bootstrap(fakes, reals, context.seed, context.console))
    found: Intervals = {}
    for row in (plan.rows[name] for name in plan.with_interval):
        deviation = 0.0 if row.bootstrap is None else deviation_of(row.bootstrap)
        if row.interval is not None and deviation is not None:
            found |= row.interval(result_of(row.measure), deviation)
    return found


def _protocol(
    fakes: ImageStream,
    reference: ReferenceRecord,
    detector: Detector,
    plan: _EvaluationPlan,
    seed: int,
    preset: str | None,
) -> Protocol:
    return Protocol(
        fakes=fakes.record,
        reference=reference,
        detector=DetectorRecord(detector.name, detector.sha256, detector.width, detector.pixels),
        resize=detector.resize.name,
        quantisation="uint8",
        seed=seed,
        device=str(detector.device),
        versions=library_versions(),
        preset=preset,
        networks={name: row.network for name, row in plan.rows.items() if row.network is not None},
    )


def _size_cautions(fakes: ImageStream, reference: ReferenceRecord) -> list[str]:
    one, other = fakes.record.resolution, reference.resolution
    if one is None or other is None or one == other:
        return []
    return [f"the fakes have {one} px and the reference has {other} px; each side is resized on its own"]


def _overlap_cautions(fakes: ImageStream, reference: ImageSet | None) -> list[str]:
    on_both = count_on_both_sides(fakes.record, reference) if reference is not None else 0
    if not on_both:
        return []
    which = f"{on_both:,} of the {fakes.record.num:,} fakes"
    return [f"{fakes.record.source}: {which} are in the reference too, which is of the same set"]

"""Measuring from end to end: both sides once through the detector, then every metric."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from swincli.console import Console
from swincli.errors import DataError, UsageError
from swincli.metrics.confidence.intervals import EXTRA_NEEDS, WAYS, Interval, measure_intervals
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.protocol import DetectorRecord, Protocol, Reference, library_versions
from swincli.metrics.registry import METRICS, Context, Metric
from swincli.metrics.streams.features import Collected, Need
from swincli.metrics.streams.images import ImageSet, ImageStream
from swincli.metrics.streams.reference_cache import identify, measure_reference
from swincli.metrics.streams.reference_files import Statistics, save_statistics
from swincli.metrics.streams.shards import collect_shares
from swincli.model.files.model_file import Model
from swincli.system.distributed import Processes
from swincli.units import format_duration

OF_FAKES: frozenset[Need] = frozenset({"logits", "samples"})  # what the real side is never asked for
FEW_REALS = 10_000  # up to which intervals may have the reference measured again for its features


@dataclass(frozen=True)
class Evaluation:
    """Values by name, how they were measured, what to bear in mind when reading them, and 95 % intervals of some."""

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


@dataclass(frozen=True)
class _Real:
    """The real side: what the protocol says of it, what is known of it, and what to bear in mind."""

    record: Reference
    collected: Collected
    cautions: list[str]


def evaluate(
    fakes: ImageStream,
    reference: ImageSet | Statistics,
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
) -> Evaluation:
    """Measure pictures against a reference.

    Several processes each look at a share of the pictures; the leading one computes, and tells the others the result.

    Args:
        fakes: The pictures to judge; gone through once.
        reference: The real ones; all are used, and remembered between runs. Or what a file knows of them.
        metrics: Names from the table of metrics.
        detector: Makes the features.
        console: Told how far it is.
        seed: Recorded, and used by metrics that draw.
        batch: Pictures at once through the detector; 32 on a CPU, 64 elsewhere.
        model: What makes the fakes, where a model does.
        plots: Folder that pictures and plots of the metrics go to.
        intervals: Whether to add 95 % intervals; None adds those of metrics that have fewer pictures than they take.
        preset: The known protocol that this follows, recorded.
        processes: Those that measure together, with the same arguments but for the share of the fakes.

    Raises:
        PeerFailedError: in other processes than the leading one, which raises what went wrong in any of them.
        DataError: a picture cannot be read, there are fewer than promised, or than a metric takes, or statistics of
            another detector or resize, or without something that a metric takes.
        UsageError: a metric needs classes, and the detector names none; or a model, and there is none.
    """
    processes = processes or Processes()
    images = None if isinstance(reference, Statistics) else reference
    context = Context(seed, detector.device, model, images, plots, console, processes)
    plan = processes.main_first(lambda: _plan(metrics, fakes, reference, detector, intervals, context))
    batch = batch or default_batch(detector)
    real = _real_side(reference, detector, plan, batch, console, processes)
    drawn = _collect_fakes(fakes, detector, plan.needs | plan.extra, batch, console, processes)
    values: dict[str, float] = {}
    for row in plan.rows.values():
        values |= _measure(row, drawn, real.collected, context)
    protocol = _protocol(fakes, real.record, detector, plan, seed, preset)
    cautions = [f"under {plan.rows[name].enough:,} pictures, {plan.rows[name].caution}" for name in plan.few]
    cautions += [*_size_cautions(fakes, real.record), *real.cautions]
    bounds = processes.from_main(
        lambda: measure_intervals(plan.bounded, values, drawn, real.collected, context, console)
    )
    return Evaluation(values, protocol, cautions, bounds)


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
) -> Reference:
    """Write what metrics need to know of a reference to a file that can take its place.

    Args:
        path: The `.npz`.
        reference: The real pictures.
        metrics: Names from the table of metrics.
        detector: Makes the features.
        console: Told how far it is.
        batch: Pictures at once through the detector; 32 on a CPU, 64 elsewhere.
        intervals: Whether to add what their intervals need.
        processes: Those that look through the reference together; the leading one writes.

    Raises:
        PeerFailedError: in other processes than the leading one, which raises what went wrong in any of them.
        DataError: a picture cannot be read.
        ResourceError: the file cannot be written.
    """
    processes = processes or Processes()
    always: frozenset[Need] = frozenset({"moments"})
    needs = always.union(*(METRICS[name].needs for name in metrics))
    if intervals:
        needs = needs.union(*(EXTRA_NEEDS.get(name, frozenset()) for name in metrics))
    batch = batch or default_batch(detector)
    record, collected = measure_reference(reference, detector, needs - OF_FAKES, batch, console, processes)
    processes.from_main(lambda: save_statistics(path, record, collected, detector))
    return record


def default_batch(detector: Detector) -> int:
    """Pictures at once through a detector, where nobody says how many."""
    return 32 if detector.device.type == "cpu" else 64


@dataclass(frozen=True)
class _Plan:
    """What is to be done.

    Attributes:
        rows: The metrics by name.
        needs: What they are computed from.
        few: Those that have fewer pictures than they take.
        bounded: Those that get intervals.
        extra: What these intervals take beside that.
    """

    rows: dict[str, Metric]
    needs: frozenset[Need]
    few: list[str]
    bounded: list[str]
    extra: frozenset[Need]


def _plan(
    metrics: Sequence[str],
    fakes: ImageStream,
    reference: ImageSet | Statistics,
    detector: Detector,
    intervals: bool | None,
    context: Context,
) -> _Plan:
    rows = {name: METRICS[name] for name in metrics}
    needs: frozenset[Need] = frozenset().union(*(row.needs for row in rows.values()))
    if "logits" in needs and not detector.classes:
        raise UsageError(f"--metric is: {detector.name} names no classes", "Use one that does: --detector efficientnet")
    fewest = _fewest(fakes, reference)
    for name, row in rows.items():
        if fewest < row.least:
            raise DataError(f"--metric {name}: takes at least {row.least} pictures a side, and one has {fewest}")
        row.check(context)
    few = [name for name, row in rows.items() if fewest < row.enough]
    asked = [] if intervals is False else few if intervals is None else list(rows)
    bounded = [name for name in asked if name in WAYS]
    extra: frozenset[Need] = frozenset().union(*(EXTRA_NEEDS.get(name, frozenset()) for name in bounded))
    return _Plan(rows, needs, few, bounded, extra)


def _protocol(
    fakes: ImageStream, reference: Reference, detector: Detector, plan: _Plan, seed: int, preset: str | None
) -> Protocol:
    return Protocol(
        fakes=fakes.origin,
        reference=reference,
        detector=DetectorRecord(detector.name, detector.sha256, detector.width),
        resize=detector.resize.name,
        quantisation="uint8",
        seed=seed,
        device=str(detector.device),
        versions=library_versions(),
        preset=preset,
        networks={name: row.network for name, row in plan.rows.items() if row.network is not None},
    )


def _fewest(fakes: ImageStream, reference: ImageSet | Statistics) -> int:
    """Pictures of the side that has fewer of them, as far as that is known."""
    count = reference.record.num if isinstance(reference, Statistics) else reference.count
    return fakes.origin.num if count is None else min(fakes.origin.num, count)


def _measure(row: Metric, fakes: Collected, reference: Collected, context: Context) -> dict[str, float]:
    """The values of a metric, in all processes."""
    if row.shared:
        return row.measure(fakes, reference, context)
    return context.processes.from_main(lambda: row.measure(fakes, reference, context))


def _real_side(
    reference: ImageSet | Statistics,
    detector: Detector,
    plan: _Plan,
    batch: int,
    console: Console,
    processes: Processes,
) -> _Real:
    """What is needed of the real side; the extra of intervals only where it costs little."""
    needs = plan.needs - OF_FAKES
    if isinstance(reference, Statistics):
        processes.main_first(lambda: reference.require(detector, needs))
        return _Real(reference.record, reference.collected, reference.cautions)
    if not needs:
        record = processes.from_main(lambda: identify(reference, detector, console)[1])
        return _Real(record, Collected(reference.count), [])
    wanted = needs | plan.extra if reference.count <= FEW_REALS else needs
    return _Real(*measure_reference(reference, detector, wanted, batch, console, processes), [])


def _collect_fakes(
    fakes: ImageStream,
    detector: Detector,
    needs: frozenset[Need],
    batch: int,
    console: Console,
    processes: Processes,
) -> Collected:
    if not needs:  # not of the pictures, but of the model
        return Collected(fakes.origin.num)
    started, num = time.monotonic(), fakes.origin.num
    with console.progress("Fakes", num) as advance:
        collected = collect_shares(fakes.pictures, num, detector, needs, batch, advance, processes)
    processes.from_main(lambda: _require_all(collected.count, fakes))
    seconds = time.monotonic() - started
    rate = collected.count / max(seconds, 1e-9)
    console.say(f"Fakes: {collected.count:,} images in {format_duration(seconds)}, {rate:.1f} images/s")
    return collected


def _require_all(count: int, fakes: ImageStream) -> None:
    if count != fakes.origin.num or count < 2:
        raise DataError(f"{fakes.origin.source}: {count} pictures came, not {max(2, fakes.origin.num)}")


def _size_cautions(fakes: ImageStream, reference: Reference) -> list[str]:
    one, other = fakes.origin.resolution, reference.resolution
    if one is None or other is None or one == other:
        return []
    return [f"the fakes are of {one} px and the reference of {other} px; each is resized on its own"]

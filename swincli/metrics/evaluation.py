"""Measuring from end to end: both sides once through the detector, then every metric."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swincli.console import Console
from swincli.errors import DataError, UsageError
from swincli.metrics.detectors import Detector
from swincli.metrics.features import Collected, Need, collect
from swincli.metrics.protocol import DetectorRecord, Protocol, Reference, library_versions
from swincli.metrics.reference import measure_reference
from swincli.metrics.streams import ImageSet, ImageStream
from swincli.metrics.table import METRICS, Context
from swincli.model.weights import Model
from swincli.units import format_duration


@dataclass(frozen=True)
class Evaluation:
    """Values by name, how they were measured, and what to bear in mind when reading them."""

    values: dict[str, float]
    protocol: Protocol
    cautions: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: "metrics", "protocol" and "cautions"."""
        return {"metrics": self.values, "protocol": asdict(self.protocol), "cautions": self.cautions}


def evaluate(
    fakes: ImageStream,
    reference: ImageSet,
    metrics: Sequence[str],
    detector: Detector,
    *,
    console: Console,
    seed: int = 0,
    batch: int | None = None,
    model: Model | None = None,
    plots: Path | None = None,
) -> Evaluation:
    """Measure pictures against a reference.

    Args:
        fakes: The pictures to judge; gone through once.
        reference: The real ones; all are used, and remembered between runs.
        metrics: Names from the table of metrics.
        detector: Makes the features.
        console: Told how far it is.
        seed: Recorded, and used by metrics that draw.
        batch: Pictures at once through the detector; 8 on a CPU, 64 elsewhere.
        model: What makes the fakes, where a model does.
        plots: Folder that pictures and plots of the metrics go to.

    Raises:
        DataError: a picture cannot be read, or there are fewer than promised, or than a metric takes.
        UsageError: a metric needs classes, and the detector names none.
    """
    rows = {name: METRICS[name] for name in metrics}
    needs: frozenset[Need] = frozenset().union(*(row.needs for row in rows.values()))
    if "logits" in needs and not detector.classes:
        raise UsageError(f"--metric is: {detector.name} names no classes", "Use one that does: --detector efficientnet")
    fewest = min(fakes.origin.num, reference.count)
    for name, row in rows.items():
        if fewest < row.least:
            raise DataError(f"--metric {name}: takes at least {row.least} pictures a side, and one has {fewest}")
    batch = batch or (8 if detector.device.type == "cpu" else 64)
    record, real = measure_reference(reference, detector, needs - {"logits"}, batch, console)
    drawn = _collect_fakes(fakes, detector, needs, batch, console)
    values: dict[str, float] = {}
    context = Context(seed, detector.device, model, reference, plots)
    for row in rows.values():
        values |= row.measure(drawn, real, context)
    protocol = Protocol(
        fakes=fakes.origin,
        reference=record,
        detector=DetectorRecord(detector.name, detector.sha256, detector.width),
        resize=detector.resize.name,
        quantisation="uint8",
        seed=seed,
        device=str(detector.device),
        versions=library_versions(),
    )
    cautions = [f"under {row.enough:,} pictures, {row.caution}" for row in rows.values() if fewest < row.enough]
    return Evaluation(values, protocol, cautions + _size_cautions(fakes, record))


def _collect_fakes(
    fakes: ImageStream, detector: Detector, needs: frozenset[Need], batch: int, console: Console
) -> Collected:
    started = time.monotonic()
    with console.progress("Fakes", fakes.origin.num) as advance:
        collected = collect(fakes.pictures, detector, needs, batch, advance)
    if collected.count != fakes.origin.num or collected.count < 2:
        raise DataError(f"{fakes.origin.source}: {collected.count} pictures came, not {max(2, fakes.origin.num)}")
    seconds = time.monotonic() - started
    rate = collected.count / max(seconds, 1e-9)
    console.say(f"Fakes: {collected.count:,} images in {format_duration(seconds)}, {rate:.1f} images/s")
    return collected


def _size_cautions(fakes: ImageStream, reference: Reference) -> list[str]:
    one, other = fakes.origin.resolution, reference.resolution
    if one is None or other is None or one == other:
        return []
    return [f"the fakes are of {one} px and the reference of {other} px; each is resized on its own"]

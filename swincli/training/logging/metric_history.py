"""History of the metrics measured during training: last and best values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from swincli.system.json_lines import read_records
from swincli.units import number_from_json


def _directions() -> dict[str, bool]:
    from swincli.metrics.registry import METRICS  # imports torch, which `swincli watch` rarely needs

    return {metric.headline: metric.higher_is_better for metric in METRICS.values()}


@dataclass
class MetricHistory:
    """Last and best value of each metric, with the images seen.

    Attributes:
        last: The last value of every metric.
        best: The best value of metrics that rank models.
        higher_is_better: Direction of each of those metrics.
    """

    last: dict[str, tuple[float, int]] = field(default_factory=dict)
    best: dict[str, tuple[float, int]] = field(default_factory=dict)
    higher_is_better: Mapping[str, bool] = field(default_factory=_directions)

    def add(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Add a measurement after `images_seen` images."""
        for name, value in values.items():
            self.last[name] = value, images_seen
            if name in self.higher_is_better and math.isfinite(value):
                sign = -1 if self.higher_is_better[name] else 1
                if name not in self.best or sign * value < sign * self.best[name][0]:
                    self.best[name] = value, images_seen

    def words(self) -> dict[str, str]:
        """Both values of every metric as text: "fid": "12.34 at 2.40M", "best fid": "11.90 at 2.20M"."""
        rows = {}
        for name, last in self.last.items():
            rows[name] = _at(*last)
            if self.best.get(name, last) != last:
                rows[f"best {name}"] = _at(*self.best[name])
        return rows


def read_metric_history(log: Path, num: int) -> MetricHistory:
    """Measurements of training in a run's metrics.jsonl that used `num` images."""
    measured = MetricHistory()
    for record in read_records(log):
        with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):  # a record of odd types
            if record["in_training"] and record["protocol"]["fakes"]["num"] == num:
                values = {name: number_from_json(value) for name, value in record["metrics"].items()}
                measured.add(int(record["images_seen"]), values)
    return measured


def _at(value: float, images_seen: int) -> str:
    number = f"{value:.2f}" if abs(value) >= 1 else f"{value:.4f}"
    if images_seen >= 1_000_000:
        return f"{number} at {images_seen / 1_000_000:.2f}M"
    return f"{number} at {images_seen / 1000:.1f}k" if images_seen >= 1000 else f"{number} at {images_seen}"

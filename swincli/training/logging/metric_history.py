"""What has been measured while training: the last values, and the best ones so far."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from swincli.metrics.registry import METRICS


def _directions() -> dict[str, bool]:
    return {metric.headline: metric.higher_is_better for metric in METRICS.values()}


@dataclass
class Measured:
    """By a value's name: the value and the images seen, of the last time and of the best time.

    Attributes:
        last: Of every value.
        best: Of those that tell which of two models is better.
        higher_is_better: Whether more of such a value is better.
    """

    last: dict[str, tuple[float, int]] = field(default_factory=dict)
    best: dict[str, tuple[float, int]] = field(default_factory=dict)
    higher_is_better: Mapping[str, bool] = field(default_factory=_directions)

    def add(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Count in what was measured after so many images."""
        for name, value in values.items():
            self.last[name] = value, images_seen
            if name in self.higher_is_better and math.isfinite(value):
                sign = -1 if self.higher_is_better[name] else 1
                if name not in self.best or sign * value < sign * self.best[name][0]:
                    self.best[name] = value, images_seen

    def words(self) -> dict[str, str]:
        """Both of every value, such as "fid": "12.34 at 2.40M" and "best fid": "11.90 at 2.20M"."""
        rows = {}
        for name, last in self.last.items():
            rows[name] = _at(*last)
            if self.best.get(name, last) != last:
                rows[f"best {name}"] = _at(*self.best[name])
        return rows


def read_measured(log: Path, num: int) -> Measured:
    """What training itself has measured by a run's metrics.jsonl with `num` images, as it does now."""
    measured = Measured()
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        with suppress(ValueError, KeyError, TypeError):  # a line that a kill cut short
            record = json.loads(line)
            if record["in_training"] and record["protocol"]["fakes"]["num"] == num:
                values = {name: float(value) for name, value in record["metrics"].items()}
                measured.add(int(record["images_seen"]), values)
    return measured


def _at(value: float, images_seen: int) -> str:
    number = f"{value:.2f}" if abs(value) >= 1 else f"{value:.4f}"
    if images_seen >= 1_000_000:
        return f"{number} at {images_seen / 1_000_000:.2f}M"
    return f"{number} at {images_seen / 1000:.1f}k" if images_seen >= 1000 else f"{number} at {images_seen}"

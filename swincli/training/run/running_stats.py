"""Statistics between two lines of stats.jsonl; part of the state, so that no line has a hole after a resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Window:
    """Sums and counts of scalars, and the images and seconds that they cover."""

    images: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, scalars: Mapping[str, float], images: int, seconds: float) -> None:
        """Count in one step."""
        self.images += images
        self.seconds += seconds
        for name, value in scalars.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Mean of every scalar over the steps that reported it."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a state file."""
        return {"images": self.images, "seconds": self.seconds, "sums": dict(self.sums), "counts": dict(self.counts)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Window:
        """The inverse of `as_dict`."""
        return cls(values["images"], values["seconds"], dict(values["sums"]), dict(values["counts"]))

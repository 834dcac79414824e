"""Running means of a step's scalars: since the last line of stats.jsonl (saved in the state), and over recent steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RECENT_STEPS = 64  # with an R1 phase every 16 steps, 4 of them have one
FORGOTTEN = 16  # a scalar that is not reported for this many times RECENT_STEPS is dropped


@dataclass
class RunningStats:
    """Sums and counts of scalars since the last line of stats.jsonl.

    They are part of the training state, so a line covers all its steps also after a resume.

    Attributes:
        images, seconds: Images and seconds since that line.
        sums, counts: Sum of each scalar, and number of steps that reported it.
    """

    images: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, scalars: Mapping[str, float], images: int, seconds: float) -> None:
        """Add one step."""
        self.images += images
        self.seconds += seconds
        self.note(scalars)

    def note(self, scalars: Mapping[str, float]) -> None:
        """Add scalars of the last step that are known after it."""
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
    def from_dict(cls, values: Mapping[str, Any]) -> RunningStats:
        """The inverse of `as_dict`."""
        return cls(values["images"], values["seconds"], dict(values["sums"]), dict(values["counts"]))


class RecentMeans:
    """Moving means of scalars over the last steps, for the live view; not saved.

    The losses of a single step say little. A scalar that is reported rarely keeps its last value for a while.

    Args:
        steps: Length of the moving window in steps.
    """

    def __init__(self, steps: int = RECENT_STEPS) -> None:
        self._length = steps
        self._number = 0
        self._values: dict[str, deque[tuple[int, float]]] = {}

    @property
    def steps(self) -> int:
        """Number of steps in the means."""
        return min(self._number, self._length)

    def add(self, scalars: Mapping[str, float]) -> None:
        """Add one step."""
        self._number += 1
        for name, value in scalars.items():
            self._values.setdefault(name, deque()).append((self._number, value))
        for name, values in list(self._values.items()):
            if self._number - values[-1][0] >= FORGOTTEN * self._length:
                del self._values[name]
            while len(values) > 1 and values[0][0] <= self._number - self._length:
                values.popleft()

    def means(self) -> dict[str, float]:
        """Mean of every scalar over the steps that reported it."""
        return {name: sum(value for _, value in values) / len(values) for name, values in self._values.items()}

"""Means of the recent steps: one step's losses say little, and D's accuracy on one batch still less."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

FORGOTTEN = 16  # times as many steps, after which what is no longer reported is dropped
STEPS = 64  # four of them have an R1 phase, where it comes every 16 steps


class Recent:
    """The scalars of the last steps; one that is reported rarely keeps its last value for some time."""

    def __init__(self, steps: int = STEPS) -> None:
        self._length = steps
        self._number = 0
        self._values: dict[str, deque[tuple[int, float]]] = {}

    @property
    def steps(self) -> int:
        """Steps that the means are of."""
        return min(self._number, self._length)

    def add(self, scalars: Mapping[str, float]) -> None:
        """Count in one step."""
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

"""How long a run takes: the pace of its steps, the pauses between them, and what is left of both."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

PACE_SECONDS = 120.0  # the pace is that of the last two minutes of steps


def crossed(images_seen: int, batch: int, interval: int) -> bool:
    """Whether the step that ended at `images_seen` passed a multiple of `interval`."""
    return images_seen // interval != (images_seen - batch) // interval


class Pace:
    """Measures steps and pauses by the clock on the wall, and tells from them how long the rest will take.

    A pause is what a run does between two steps: grids, saves, measuring. What one kind costs is learnt from the last
    ones; where several fall together, the rarest is charged with what the others do not account for.

    Args:
        batch: Images a step.
        pauses: Images between two pauses of a kind, by its name; the frequent kinds first where they are equal.
        clock: Seconds that only rise.
    """

    def __init__(self, batch: int, pauses: Mapping[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        self._batch, self._pauses, self._clock = batch, dict(pauses), clock
        self._steps: deque[float] = deque()
        self._costs: dict[str, float] = {}
        self._last = clock()
        self.due: list[str] = []

    def step(self, images_seen: int, seconds: float) -> None:
        """Count in the step that ended now, after `seconds`, with `images_seen`."""
        now = self._clock()
        before = max(0.0, now - self._last - seconds)
        if self.due:
            self._learn(before)
            before = 0.0
        self._steps.append(before + seconds)
        while len(self._steps) > 1 and sum(self._steps) > PACE_SECONDS:
            self._steps.popleft()
        self.due = [name for name, every in self._pauses.items() if crossed(images_seen, self._batch, every)]
        self._last = now

    def _learn(self, seconds: float) -> None:
        rarest = max(reversed(self.due), key=self._pauses.__getitem__)
        cost = max(0.0, seconds - sum(self._costs.get(name, 0.0) for name in self.due if name != rarest))
        self._costs[rarest] = (self._costs.get(rarest, cost) + cost) / 2

    def seconds_per_image(self) -> float | None:
        """Of the steps alone; None before the first one."""
        return sum(self._steps) / len(self._steps) / self._batch if self._steps else None

    def seconds_until(self, images_seen: int, target: int, *, through: bool = False) -> float | None:
        """Seconds from the last step's end until `target` images are seen, pauses on the way included.

        Args:
            images_seen: Where the run is.
            target: Where it goes.
            through: Count in the pauses at the target itself.
        """
        pace = self.seconds_per_image()
        if pace is None:
            return None
        last = target if through else target - 1
        pauses = sum(self._costs.get(name, 0.0) for name in self.due)
        for name, cost in self._costs.items():
            pauses += cost * max(0, last // self._pauses[name] - images_seen // self._pauses[name])
        return pace * max(0, target - images_seen) + pauses

    def seconds_ahead(self) -> float:
        """Until the end of the next step, counted from the end of the last one."""
        return self._batch * (self.seconds_per_image() or 0.0) + sum(self._costs.get(name, 0.0) for name in self.due)

"""ETA of a run: seconds per image of its steps, and the cost of the pauses between them (saves, grids, metrics)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

from swincli.training.schedules import crossed

PACE_SECONDS = 120.0  # the mean time per step is over the last two minutes of steps


class EtaEstimator:
    """Measures steps and pauses by wall clock, and estimates the remaining time.

    A pause is the time between two steps: sample grids, saves, metrics. The cost of each kind is learnt from the last
    ones. When several kinds fall on the same step, the rarest one gets the time that the others do not explain.

    Args:
        batch: Images per step.
        pauses: Interval in images of each kind of pause; of kinds with equal intervals, the last counts as the rarest.
        clock: Monotonic time in seconds.

    Attributes:
        due: Kinds of pauses after the last step.
    """

    def __init__(self, batch: int, pauses: Mapping[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        self._batch, self._pauses, self._clock = batch, dict(pauses), clock
        self._steps: deque[float] = deque()
        self._costs: dict[str, float] = {}
        self._last = clock()
        self.due: list[str] = []

    def step(self, images_seen: int, seconds: float) -> None:
        """Add a step that ended now at `images_seen` and took `seconds`."""
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
        """Mean over the last steps, without pauses; None before the first step."""
        return sum(self._steps) / len(self._steps) / self._batch if self._steps else None

    def seconds_until(self, images_seen: int, target: int, *, through: bool = False) -> float | None:
        """Seconds from the end of the last step until `target` images are seen, with the pauses on the way.

        Args:
            images_seen: Images seen now.
            target: Images seen then.
            through: Include the pauses at the target itself.
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
        """Seconds from the end of the last step to the end of the next one."""
        return self._batch * (self.seconds_per_image() or 0.0) + sum(self._costs.get(name, 0.0) for name in self.due)

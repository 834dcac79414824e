"""How long a run will take: steps and pauses by the clock, and means of the recent steps."""

from __future__ import annotations

import pytest

from swincli.training.logging.eta import PACE_SECONDS, EtaEstimator
from swincli.training.run.running_stats import FORGOTTEN, RecentMeans
from swincli.training.schedules import crossed


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A run of 10 images a step, whose steps and pauses take what it is told."""

    def __init__(self, **pauses: int) -> None:
        self.clock, self.seen, self.pauses = Clock(), 0, pauses
        self.pace = EtaEstimator(10, pauses, self.clock)

    def go(self, steps: int, seconds: float = 1.0, **costs: float) -> None:
        for _ in range(steps):
            self.clock.now += seconds
            self.seen += 10
            self.pace.step(self.seen, seconds)
            due = [name for name, every in self.pauses.items() if crossed(self.seen, 10, every)]
            self.clock.now += sum(costs.get(name, 0.0) for name in due)

    def until(self, target: int, *, through: bool = True) -> float | None:
        return self.pace.seconds_until(self.seen, target, through=through)


def test_nothing_is_known_before_the_first_step() -> None:
    run = Run(save=100)
    assert run.pace.seconds_per_image() is None
    assert run.until(1000) is None
    assert run.pace.seconds_ahead() == 0


def test_a_run_without_pauses_takes_what_its_steps_take() -> None:
    run = Run()
    run.go(3, seconds=2.0)
    assert run.pace.seconds_per_image() == pytest.approx(0.2)
    assert run.until(1030) == pytest.approx(200)
    assert run.pace.seconds_ahead() == pytest.approx(2)
    assert run.until(0) == 0


def test_what_the_loop_does_between_steps_counts() -> None:
    run = Run()
    for _ in range(5):
        run.clock.now += 1.0  # such as a line of stats.jsonl on a slow disk
        run.go(1)
    assert run.pace.seconds_per_image() == pytest.approx(0.2)


def test_the_pace_is_that_of_the_last_two_minutes() -> None:
    run = Run()
    run.go(10, seconds=30.0)
    run.go(int(PACE_SECONDS), seconds=1.0)
    assert run.pace.seconds_per_image() == pytest.approx(0.1)


def test_pauses_do_not_change_the_pace_and_count_in_what_is_left() -> None:
    run = Run(samples=50, save=100, measure=200)
    run.go(26, samples=1.0, save=10.0, measure=300.0)
    assert run.pace.seconds_per_image() == pytest.approx(0.1)
    # From 260 to 1000 images: 74 steps, and grids at 300, 350, ... 1000, saves at 300, ... and measuring at 400, ...
    assert run.until(1000) == pytest.approx(74 + 15 * 1 + 8 * 10 + 4 * 300)
    assert run.until(1000, through=False) == pytest.approx(74 + 14 * 1 + 7 * 10 + 3 * 300)
    assert run.until(300, through=False) == pytest.approx(4)


def test_a_pause_that_is_going_on_still_lies_ahead() -> None:
    run = Run(save=100)
    run.go(19, save=30.0)
    run.go(1)
    assert run.until(300, through=False) == pytest.approx(30 + 10)
    assert run.pace.seconds_ahead() == pytest.approx(30 + 1)


def test_kinds_that_always_fall_together_are_counted_once() -> None:
    run = Run(samples=100, save=100)
    run.go(35, samples=2.0, save=4.0)
    assert run.until(1000) == pytest.approx(65 + 7 * 6)


@pytest.mark.parametrize(
    ("seen", "batch", "interval", "expected"),
    [(16, 16, 16, True), (32, 16, 40, False), (48, 16, 40, True), (64, 64, 16, True), (8, 4, 1000, False)],
)
def test_crossing_a_multiple(seen: int, batch: int, interval: int, expected: bool) -> None:
    assert crossed(seen, batch, interval) is expected


def test_means_are_of_the_recent_steps() -> None:
    recent = RecentMeans(4)
    assert (recent.steps, recent.means()) == (0, {})
    for value in range(10):
        recent.add({"loss/d": float(value)})
    assert recent.steps == 4
    assert recent.means() == {"loss/d": (6 + 7 + 8 + 9) / 4}


def test_what_few_steps_report_is_averaged_over_those_and_kept() -> None:
    recent = RecentMeans(4)
    recent.add({"loss/r1": 8.0, "loss/d": 1.0})
    recent.add({"loss/d": 1.0})
    recent.add({"loss/r1": 4.0, "loss/d": 1.0})
    assert recent.means()["loss/r1"] == 6.0
    for _ in range(9):
        recent.add({"loss/d": 2.0})
    assert recent.means() == {"loss/r1": 4.0, "loss/d": 2.0}
    for _ in range(4 * FORGOTTEN):
        recent.add({"loss/d": 2.0})
    assert recent.means() == {"loss/d": 2.0}

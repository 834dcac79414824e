"""Constant perceptual speed, on paths with known lengths and a stand-in for the network."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from swincli.synthesis.walk.perceptual_pace import (
    MEASURING_PASSES,
    StepLengths,
    even_times,
    measuring_times,
    unevenness,
)

# torch may have disabled subnormal numbers in this process
lengths = st.lists(st.floats(0, 10, allow_subnormal=False), min_size=2, max_size=20)


def features(images: Tensor) -> list[Tensor]:
    return [images.flatten(1), 2 * images.flatten(1)]


def between(one: list[Tensor], other: list[Tensor]) -> Tensor:
    return sum(((a - b).square().sum(dim=1) for a, b in zip(one, other, strict=True)), torch.tensor(0.0)) / 5


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_lengths_are_those_of_neighbours_whatever_the_batches(batch: int) -> None:
    images = torch.randn(14, 3, 4, 4)  # 7 times, 2 walks
    measured = StepLengths(2, features, between)
    for part in images.split(2 * batch):
        measured.add(part)
    walks = images.view(7, 2, -1)
    expected = walks.diff(dim=0).norm(dim=2).mean(dim=1)
    assert measured.lengths == pytest.approx(expected.tolist())


def test_a_path_that_speeds_up_gets_equal_steps() -> None:
    """A point moves with the cube of time; its frames must move linearly."""
    places = measuring_times(2, 200)
    measured = StepLengths(1, features, between)
    measured.add(((places / 2) ** 3).view(-1, 1, 1, 1).float())
    assert unevenness(measured.lengths) > 3
    for closed, last in ((False, 1.0), (True, 199 / 200)):
        found = (even_times(places, measured.lengths, 200, closed=closed) / 2) ** 3
        torch.testing.assert_close(found, torch.linspace(0, last, 200, dtype=torch.float64), rtol=0, atol=2e-3)
        assert unevenness(found.diff().tolist()) < 1.1


def test_a_second_look_finds_what_changes_at_once() -> None:
    """A point moves only in a thousandth of the time, less than one step of equal times."""

    def position(times: torch.Tensor) -> torch.Tensor:
        return ((times - 0.4711) * 1000).clamp(0, 1)

    places = measuring_times(1, 60)
    for _ in range(MEASURING_PASSES):
        found = even_times(places, position(places).diff().tolist(), 60, closed=False)
        places = even_times(places, position(places).diff().tolist(), len(places), closed=False)
    assert unevenness(position(found).diff().tolist()) < 1.5


@settings(max_examples=50)
@given(lengths, st.integers(2, 30), st.booleans())
def test_times_rise_from_end_to_end(steps: list[float], frames: int, closed: bool) -> None:
    places = torch.linspace(0, 3, len(steps) + 1, dtype=torch.float64)
    times = even_times(places, steps, frames, closed=closed)
    assert len(times) == frames
    assert (times.diff() >= 0).all()
    assert times[0] == 0
    assert times[-1] <= 3 if closed else times[-1] == 3


@settings(max_examples=50)
@given(lengths.filter(lambda steps: min(steps) > 0.01), st.integers(2, 30), st.booleans())
def test_lengths_between_frames_are_equal(steps: list[float], frames: int, closed: bool) -> None:
    places = torch.linspace(0, 3, len(steps) + 1, dtype=torch.float64)
    run = torch.tensor([0.0, *steps], dtype=torch.float64).cumsum(0)
    times = even_times(places, steps, frames, closed=closed)
    position = (times / 3 * len(steps)).clamp(max=len(steps))
    before = position.floor().long().clamp(max=len(steps) - 1)
    reached = torch.lerp(run[before], run[before + 1], position - before)
    torch.testing.assert_close(reached.diff(), torch.full_like(reached[1:], run[-1] / (frames - (not closed))))


def test_a_path_on_which_nothing_changes_keeps_its_pace() -> None:
    places = measuring_times(2, 5)
    times = even_times(places, [0.0] * (len(places) - 1), 5, closed=False)
    torch.testing.assert_close(times, torch.linspace(0, 2, 5, dtype=torch.float64))
    assert unevenness([0.0, 0.0]) == 1


@settings(max_examples=50)
@given(st.integers(1, 20), st.integers(2, 500))
def test_places_are_denser_than_frames_and_segments(segments: int, frames: int) -> None:
    places = measuring_times(segments, frames)
    assert (places[0], places[-1]) == (0, segments)
    assert (len(places) - 1) % frames == 0
    assert len(places) > max(2 * frames, 32 * segments)

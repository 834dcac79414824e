"""Power-function averages as arithmetic: against the paper's numbers, and against profiles on a fine grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from swincli.training.ema.power_profiles import (
    NARROWEST,
    WIDEST,
    PosthocSolution,
    PowerProfile,
    exponent_to_width,
    power_ema_decay,
    solve_posthoc_coefficients,
    width_to_exponent,
)

WIDTHS = st.floats(NARROWEST, WIDEST)
GRID = 50_000


@pytest.mark.parametrize(("width", "wanted"), [(0.05, 16.97), (0.1, 6.94), (0.07, 11.245)])
def test_exponents_are_the_papers(width: float, wanted: float) -> None:
    assert width_to_exponent(width) == pytest.approx(wanted, abs=5e-3)


@given(WIDTHS)
def test_an_exponent_gives_its_width_back(width: float) -> None:
    assert width_to_exponent(width) >= 0
    assert exponent_to_width(width_to_exponent(width)) == pytest.approx(width, rel=1e-9)


@given(WIDTHS)
def test_a_width_is_the_deviation_of_the_profile(width: float) -> None:
    k = width_to_exponent(width)
    mean = (k + 1) / (k + 2)
    assert math.sqrt((k + 1) / (k + 3) - mean**2) == pytest.approx(width, rel=1e-6)


@pytest.mark.parametrize("width", [0.0099, 0.2801, -1.0, math.nan])
def test_widths_out_of_range_are_refused(width: float) -> None:
    with pytest.raises(ValueError, match=r"must be from 0\.01 to 0\.28"):
        width_to_exponent(width)


def test_decays_are_the_papers() -> None:
    assert power_ema_decay(1, 1, 0.05) == 0  # the first step forgets what was there before it
    assert power_ema_decay(10, 1, 0.05) == pytest.approx((1 - 1 / 10) ** 17.972198602)
    assert power_ema_decay(320, 32, 0.1) == pytest.approx((1 - 1 / 10) ** 7.937203938)


@given(WIDTHS, st.integers(1, 50), st.integers(1, 40))
def test_steps_of_a_batch_make_the_profile(width: float, batch: int, steps: int) -> None:
    shares: list[float] = []
    for step in range(1, steps + 1):
        decay = power_ema_decay(step * batch, batch, width)
        shares = [share * decay for share in shares] + [1 - decay]
    ends = np.arange(steps + 1) / steps
    np.testing.assert_allclose(shares, np.diff(ends ** (width_to_exponent(width) + 1)), atol=1e-12)


def sampled(profile: PowerProfile, last: int) -> NDArray[np.float64]:
    """A profile on a fine grid of times up to `last`."""
    times = (np.arange(GRID) + 0.5) / GRID * last / profile.images_seen
    k = width_to_exponent(profile.width)
    return np.where(times < 1, (k + 1) * times**k, 0.0) / profile.images_seen


def grid_error(solution: PosthocSolution, given: list[PowerProfile], wanted: PowerProfile) -> float:
    last = max(profile.images_seen for profile in (*given, wanted))
    target = sampled(wanted, last)
    made = sum(share * sampled(profile, last) for share, profile in zip(solution.coefficients, given, strict=True))
    return float(np.linalg.norm(made - target) / np.linalg.norm(target))


MOMENTS = [PowerProfile(width, moment) for moment in (100, 250, 400, 500) for width in (0.05, 0.1)]


@pytest.mark.parametrize("width", [0.02, 0.04, 0.07, 0.15, 0.25])
def test_a_mixture_is_the_best_that_can_be_made(width: float) -> None:
    wanted = PowerProfile(width, 500)
    solution = solve_posthoc_coefficients(MOMENTS, wanted)
    assert sum(solution.coefficients) == pytest.approx(1, abs=1e-9)
    error = grid_error(solution, MOMENTS, wanted)
    assert solution.error == pytest.approx(error, rel=1e-3)
    columns = np.stack([sampled(profile, 500) for profile in MOMENTS], axis=1)
    # the constraint by elimination: the last share is 1 minus all others
    differences, target = columns[:, :-1] - columns[:, -1:], sampled(wanted, 500) - columns[:, -1]
    best, *_ = np.linalg.lstsq(differences, target, rcond=None)
    np.testing.assert_allclose(solution.coefficients[:-1], best, atol=2e-3 * np.abs(best).max())


@settings(max_examples=10)
@given(WIDTHS, st.integers(0, 7))
def test_no_other_mixture_is_nearer(width: float, index: int) -> None:
    wanted = PowerProfile(width, 500)
    solution = solve_posthoc_coefficients(MOMENTS, wanted)
    moved = list(solution.coefficients)
    for other, step in ((index, 0.01), ((index + 1) % 8, -0.01)):  # the sum stays 1
        moved[other] += step
    nearest, moved_error = (
        grid_error(PosthocSolution(s, 0.0), MOMENTS, wanted) for s in (solution.coefficients, moved)
    )
    assert nearest <= moved_error + 1e-9


def test_an_average_that_is_there_is_taken_alone() -> None:
    for index, profile in enumerate(MOMENTS):
        solution = solve_posthoc_coefficients(MOMENTS, profile)
        assert solution.coefficients == [float(number == index) for number in range(8)]
        assert solution.error == 0


def test_a_whole_run_meets_any_usual_width() -> None:
    run = [PowerProfile(width, moment * 200_000) for moment in range(1, 126) for width in (0.05, 0.1)]
    for width in (0.03, 0.07, 0.15, 0.2, 0.25):
        solution = solve_posthoc_coefficients(run, PowerProfile(width, 25_000_000))
        assert solution.error < 0.01
        assert math.sqrt(sum(share**2 for share in solution.coefficients)) < 7  # rounding of the files is not blown up


def test_averages_of_a_random_walk_are_mixed_into_any_width() -> None:
    batch, steps, every = 10, 400, 10
    position, random = np.zeros(1000), np.random.default_rng(0)
    widths = (0.03, 0.05, 0.07, 0.1, 0.15, 0.2)
    averages = dict.fromkeys(widths, position)
    profiles, kept = [], []
    for step in range(1, steps + 1):
        position = position + random.normal(size=1000)
        for width in widths:
            decay = power_ema_decay(step * batch, batch, width)
            averages[width] = decay * averages[width] + (1 - decay) * position
        if step % every == 0:
            profiles += [PowerProfile(width, step * batch) for width in (0.05, 0.1)]
            kept += [averages[0.05], averages[0.1]]
    between = np.linalg.norm(averages[0.05] - averages[0.1])
    for width in widths:
        shares = solve_posthoc_coefficients(profiles, PowerProfile(width, steps * batch)).coefficients
        made = sum(share * average for share, average in zip(shares, kept, strict=True))
        assert np.linalg.norm(made - averages[width]) < 5e-3 * between

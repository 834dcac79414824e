"""FID at an endless number of pictures, from how it falls with their number (Chong and Forsyth, CVPR 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.moments import Moments

POINTS = 15
SMALLEST_SHARE = 0.1  # 5,000 of 50,000, as in the paper


@dataclass(frozen=True)
class Extrapolation:
    """A line through distances over 1 / number.

    Attributes:
        value: Where it meets 1 / number = 0.
        numbers: Pictures of each point.
        distances: What was measured with them.
    """

    value: float
    numbers: list[int]
    distances: list[float]


def fid_infinity(
    fakes: NDArray[np.floating],
    reference: Moments,
    seed: int,
    points: int = POINTS,
    advance: Callable[[], None] = lambda: None,
) -> Extrapolation:
    """Fit `FID(N) = FID∞ + c / N` by least squares to random subsets of the fakes; the reference stays whole.

    The bias of FID is of that form to first order. The paper draws fakes by a Sobol sequence and calls that FID∞; with
    independent ones, as here, the line is the same and a little noisier. What the reference's own number adds stays.

    Args:
        fakes: Features [N, D].
        reference: Moments of the real side.
        seed: Draws the subsets, each without replacement.
        points: Numbers of pictures, from a tenth of N to N.
        advance: Called after each point.
    """
    random = np.random.default_rng(seed)
    numbers = numbers_of(len(fakes), points)
    distances = []
    for number in numbers:
        subset = fakes[random.choice(len(fakes), number, replace=False)]
        distances.append(frechet_distance(Moments.of(subset), reference))
        advance()
    slope, value = np.polyfit(1.0 / np.array(numbers), distances, 1)
    del slope
    return Extrapolation(float(value), numbers, distances)


def numbers_of(count: int, points: int = POINTS) -> list[int]:
    """Pictures of each point of the line, of so many fakes."""
    smallest = max(2, round(SMALLEST_SHARE * count))
    return [round(number) for number in np.linspace(smallest, count, points)]


def deviation_factor(numbers: Sequence[int]) -> float:
    """How much more FID∞ varies from one draw of fakes to the next than FID at all of them, as a ratio of deviations.

    To first order FID is a mean over its pictures. The intercept weighs the points by w, which add up to 1, and a
    picture is in the subset of n of N with probability n / N; so the variance is 1 + Σ w² (N / n - 1) times FID's.

    Args:
        numbers: Pictures of each point, the last one all of them.
    """
    n = np.asarray(numbers, dtype=np.float64)
    centred = 1.0 / n - np.mean(1.0 / n)
    weights = 1.0 / len(n) - np.mean(1.0 / n) * centred / np.square(centred).sum()
    return float(np.sqrt(1.0 + np.square(weights) @ (n[-1] / n - 1.0)))

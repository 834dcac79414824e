"""FID at an endless number of pictures, from how it falls with their number (Chong and Forsyth, CVPR 2020)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swincli.metrics.frechet import frechet_distance
from swincli.metrics.moments import Moments

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
    smallest = max(2, round(SMALLEST_SHARE * len(fakes)))
    numbers = np.linspace(smallest, len(fakes), points).round().astype(int)
    distances = []
    for number in numbers:
        subset = fakes[random.choice(len(fakes), number, replace=False)]
        distances.append(frechet_distance(Moments.of(subset), reference))
        advance()
    slope, value = np.polyfit(1.0 / numbers, distances, 1)
    del slope
    return Extrapolation(float(value), numbers.tolist(), distances)

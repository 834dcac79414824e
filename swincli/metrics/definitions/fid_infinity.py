"""FID∞: FID extrapolated to infinitely many fakes (Chong and Forsyth, CVPR 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.moments import Moments

POINTS = 15
SMALLEST_SHARE = 0.1  # the smallest subset: 5,000 of 50,000, as in the paper


@dataclass(frozen=True)
class FIDInfinity:
    """The line fitted through FID over 1 / N.

    Attributes:
        value: Intercept of the line: FID∞.
        subset_sizes: Number of fakes N of each point.
        distances: FID of each point.
    """

    value: float
    subset_sizes: list[int]
    distances: list[float]


def fid_infinity(
    fakes: NDArray[np.floating],
    reals: Moments,
    seed: int,
    points: int = POINTS,
    advance: Callable[[], None] = lambda: None,
) -> FIDInfinity:
    """Fit `FID(N) = FID∞ + c / N` by least squares to random subsets of the fakes and all reals.

    The bias of FID has this form to first order. The paper draws fakes from a Sobol sequence; with independent fakes,
    as here, the line is the same and slightly noisier. The bias from the number of reals stays in the value.

    Args:
        fakes: Features [N, D].
        reals: Moments of the reals.
        seed: Seed of the subsets, each drawn without replacement.
        points: Number of subset sizes, from a tenth of N to N.
        advance: Called after each point.
    """
    random = np.random.default_rng(seed)
    numbers = subset_sizes(len(fakes), points)
    distances = []
    for number in numbers:
        subset = fakes[random.choice(len(fakes), number, replace=False)]
        distances.append(frechet_distance(Moments.from_features(subset), reals))
        advance()
    _slope, value = np.polyfit(1.0 / np.array(numbers), distances, 1)
    return FIDInfinity(float(value), numbers, distances)


def subset_sizes(count: int, points: int = POINTS) -> list[int]:
    """Number of fakes at each point of the line, evenly spaced from a tenth of `count` to `count`."""
    smallest = max(2, round(SMALLEST_SHARE * count))
    return [round(number) for number in np.linspace(smallest, count, points)]


def deviation_factor(sizes: Sequence[int]) -> float:
    """Ratio of the standard deviation of FID∞ to that of FID with all N fakes, over draws of fakes.

    To first order FID is a mean over images. The intercept weights the points by w with Σ w = 1, and an image is in a
    subset of n of N with probability n / N. So the variance is 1 + Σ w² (N / n - 1) times that of FID.

    Args:
        sizes: Number of fakes at each point; the last is N.
    """
    n = np.asarray(sizes, dtype=np.float64)
    centred = 1.0 / n - np.mean(1.0 / n)
    weights = 1.0 / len(n) - np.mean(1.0 / n) * centred / np.square(centred).sum()
    return float(np.sqrt(1.0 + np.square(weights) @ (n[-1] / n - 1.0)))

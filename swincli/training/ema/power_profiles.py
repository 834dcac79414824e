"""Power-function averages: their profiles, and how to put one of any width together from others.

Karras et al., 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3 and appendix C. The
average after t images weighs the weights that were in force after s images by `(k + 1) / t * (s / t) ** k`. Its width
is the standard deviation of that profile as a share of t; k, its exponent, is the paper's gamma.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NARROWEST, WIDEST = 0.01, 0.28  # as the recipe's ema.power; a flat profile, of exponent 0, would be 0.2887 wide


@dataclass(frozen=True)
class Profile:
    """The profile of one average.

    Attributes:
        width: Its relative width, from 0.01 to 0.28.
        images_seen: When it ends; at least 1.
    """

    width: float
    images_seen: int


@dataclass(frozen=True)
class Mixture:
    """How much of every given average makes another one.

    Attributes:
        shares: One a given average; they sum to 1.
        error: Distance of the profile that they make from the one wanted, as a share of the latter's norm.
    """

    shares: list[float]
    error: float


@functools.cache
def exponent(width: float) -> float:
    """The exponent of a profile of a relative width: 16.97 for 0.05, 6.94 for 0.1.

    It is the largest root of `k^3 + 7 k^2 + (16 - width^-2) k + 12 - width^-2` (the paper's algorithm 2), which is to
    say that `width_of(k)` is the width.

    Raises:
        ValueError: the width is not between 0.01 and 0.28.
    """
    if not NARROWEST <= width <= WIDEST:
        raise ValueError(f"{width:g} is not a width from {NARROWEST} to {WIDEST}")
    inverse = width**-2.0
    return float(np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse]).real.max())


def width_of(exponent: float) -> float:
    """The relative width of the profile of an exponent from 0: `sqrt(k + 1) / ((k + 2) sqrt(k + 3))`."""
    return math.sqrt((exponent + 1) / (exponent + 3)) / (exponent + 2)


def power_decay(images_seen: int, batch: int, width: float) -> float:
    """Weight of the old average in the step that ends after so many images: `(1 - batch / images_seen) ** (k + 1)`.

    It is 0 in the first step. The paper has steps of one; with steps of a batch each, a weight of G counts for as much
    as its profile holds over the images of the step that made it, whatever the batch.
    """
    return float((1.0 - batch / images_seen) ** (exponent(width) + 1.0))


def mix(given: list[Profile], wanted: Profile) -> Mixture:
    """Shares of averages whose sum is nearest to the wanted one, by least squares over profiles.

    The paper's algorithm 3 with two differences: the shares are held to a sum of 1 by a Lagrange multiplier instead of
    being divided by their sum, and profiles are brought to norm 1, which keeps the equations well behaved. Where the
    wanted average is among those given, the answer is that one alone.

    Args:
        given: Profiles of the averages that there are; none twice.
        wanted: The profile to make.
    """
    if wanted in given:
        return Mixture([float(profile == wanted) for profile in given], 0.0)
    norms = np.sqrt(np.diag(_products(given, given)))
    gram = _products(given, given) / np.outer(norms, norms)
    target = _products(given, [wanted])[:, 0] / norms
    sums = 1.0 / norms  # what a share of a profile of norm 1 adds to the sum of the shares
    free, correction = (np.linalg.lstsq(gram, side, rcond=None)[0] for side in (target, sums))
    solution = free + correction * (1.0 - sums @ free) / (sums @ correction)
    size = _products([wanted], [wanted])[0, 0]
    remainder = size - 2.0 * solution @ target + solution @ gram @ solution
    return Mixture((solution * sums).tolist(), math.sqrt(max(0.0, remainder) / size))


def _products(rows: list[Profile], columns: list[Profile]) -> NDArray[np.float64]:
    """Inner products of profiles, `[rows, columns]`; times are taken relative to the last of all.

    `integral of p_a p_b = (a + 1)(b + 1) / (a + b + 1) / later * (earlier / later) ** exponent of the later one`.
    """
    a, b = (np.array([exponent(profile.width) for profile in side]) for side in (rows, columns))
    last = max(profile.images_seen for profile in (*rows, *columns))
    s, t = (np.array([profile.images_seen / last for profile in side]) for side in (rows, columns))
    a, s, b, t = a[:, None], s[:, None], b[None], t[None]
    earlier, later = np.minimum(s, t), np.maximum(s, t)
    products: NDArray[np.float64] = (a + 1) * (b + 1) / (a + b + 1) / later * (earlier / later) ** np.where(s > t, a, b)
    return products

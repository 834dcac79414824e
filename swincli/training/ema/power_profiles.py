"""Power-function EMA profiles, and the least-squares solve for post-hoc EMA.

Karras et al., 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3 and appendix C. The
EMA after t images gives the weights after s images the weight `(k + 1) / t * (s / t) ** k`. Its width (sigma_rel) is
the standard deviation of that profile divided by t; its exponent k is the paper's gamma.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NARROWEST, WIDEST = 0.01, 0.28  # as in the recipe's ema.power; the flat profile (exponent 0) has width 0.2887


@dataclass(frozen=True)
class PowerProfile:
    """Profile of one EMA.

    Attributes:
        width: Relative width (sigma_rel), 0.01 to 0.28.
        images_seen: Images at which the profile ends; at least 1.
    """

    width: float
    images_seen: int


@dataclass(frozen=True)
class PosthocSolution:
    """How to combine snapshots into another EMA.

    Attributes:
        coefficients: One per snapshot; they sum to 1.
        error: Distance between reconstructed and wanted profile, divided by the norm of the wanted one.
    """

    coefficients: list[float]
    error: float


@functools.cache
def width_to_exponent(width: float) -> float:
    """Exponent k for a relative width: 16.97 for 0.05, 6.94 for 0.1.

    It is the largest root of `k^3 + 7 k^2 + (16 - width^-2) k + 12 - width^-2` (the paper's algorithm 2), and the
    inverse of `exponent_to_width`.

    Raises:
        ValueError: the width is not between 0.01 and 0.28.
    """
    if not NARROWEST <= width <= WIDEST:
        raise ValueError(f"width {width:g}: must be from {NARROWEST} to {WIDEST}")
    inverse = width**-2.0
    return float(np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse]).real.max())


def exponent_to_width(exponent: float) -> float:
    """Relative width for an exponent k >= 0: `sqrt(k + 1) / ((k + 2) sqrt(k + 3))`."""
    return math.sqrt((exponent + 1) / (exponent + 3)) / (exponent + 2)


def power_ema_decay(images_seen: int, batch: int, width: float) -> float:
    """EMA decay of the step that ends at `images_seen`: `(1 - batch / images_seen) ** (k + 1)`; 0 in the first step.

    The paper has steps of one image. Here each step gets the weight that the profile has over the images of its batch,
    so the batch size does not matter.
    """
    return float((1.0 - batch / images_seen) ** (width_to_exponent(width) + 1.0))


def solve_posthoc_coefficients(given: list[PowerProfile], wanted: PowerProfile) -> PosthocSolution:
    """Coefficients of snapshots whose sum is nearest to the wanted EMA, by least squares over profiles.

    It is the paper's algorithm 3 with two differences. A Lagrange multiplier makes the coefficients sum to 1; the paper
    divides them by their sum. Profiles are normalised first, which conditions the equations better. If the wanted
    profile is one of the given ones, its coefficient is 1 and all others are 0.

    Args:
        given: Profiles of the snapshots, all different.
        wanted: The profile to reconstruct.
    """
    if wanted in given:
        return PosthocSolution([float(profile == wanted) for profile in given], 0.0)
    norms = np.sqrt(np.diag(_inner_products(given, given)))
    gram = _inner_products(given, given) / np.outer(norms, norms)
    target = _inner_products(given, [wanted])[:, 0] / norms
    sums = 1.0 / norms  # contribution of each normalised profile to the sum of the coefficients
    free, correction = (np.linalg.lstsq(gram, side, rcond=None)[0] for side in (target, sums))
    solution = free + correction * (1.0 - sums @ free) / (sums @ correction)
    size = _inner_products([wanted], [wanted])[0, 0]
    remainder = size - 2.0 * solution @ target + solution @ gram @ solution
    return PosthocSolution((solution * sums).tolist(), math.sqrt(max(0.0, remainder) / size))


def _inner_products(rows: list[PowerProfile], columns: list[PowerProfile]) -> NDArray[np.float64]:
    """Inner products of profiles, `[rows, columns]`; times are divided by the largest one.

    `integral of p_a p_b = (a + 1)(b + 1) / (a + b + 1) / later * (earlier / later) ** exponent of the later one`.
    """
    a, b = (np.array([width_to_exponent(profile.width) for profile in side]) for side in (rows, columns))
    last = max(profile.images_seen for profile in (*rows, *columns))
    s, t = (np.array([profile.images_seen / last for profile in side]) for side in (rows, columns))
    a, s, b, t = a[:, None], s[:, None], b[None], t[None]
    earlier, later = np.minimum(s, t), np.maximum(s, t)
    products: NDArray[np.float64] = (a + 1) * (b + 1) / (a + b + 1) / later * (earlier / later) ** np.where(s > t, a, b)
    return products

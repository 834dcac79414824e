"""KID: kernel inception distance, unbiased at any number of images (Bińkowski et al., ICLR 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SUBSETS, SUBSET_SIZE = 100, 1000  # as in the paper's code, in clean-fid and torch-fidelity


@dataclass(frozen=True)
class KID:
    """Squared maximum mean discrepancy (MMD): mean over subsets, standard deviation between them, and their number."""

    mean: float
    deviation: float
    subsets: int = SUBSETS

    @property
    def subset_error(self) -> float:
        """Standard error of the mean from the choice of the subsets."""
        return self.deviation / math.sqrt(self.subsets)


def kernel_inception_distance(
    fakes: NDArray[np.floating], reals: NDArray[np.floating], seed: int, subsets: int = SUBSETS, size: int = SUBSET_SIZE
) -> KID:
    """Unbiased estimate of the squared MMD with the kernel `(x·y / D + 1)³`, over random subsets of both sides.

    Args:
        fakes: Features [N, D].
        reals: Features [M, D].
        seed: Seed of the subsets, each drawn without replacement.
        subsets: Number of subsets.
        size: Images per side in a subset; reduced to half of the smaller side, so that subsets differ.
    """
    size = min(size, max(2, min(len(fakes), len(reals)) // 2))
    random = np.random.default_rng(seed)
    values = np.array(
        [
            mmd(
                fakes[random.choice(len(fakes), size, replace=False)],
                reals[random.choice(len(reals), size, replace=False)],
            )
            for _ in range(subsets)
        ]
    )
    return KID(float(values.mean()), float(values.std()), subsets)


def mmd(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Unbiased squared MMD of features [N, D] and [M, D], N and M at least 2 (Gretton et al., 2012, eq. 3)."""
    one, other = x.astype(np.float64), y.astype(np.float64)
    return _mean_of_pairs(one) + _mean_of_pairs(other) - 2.0 * float(cubic_kernel(one, other).mean())


def _mean_of_pairs(x: NDArray[np.float64]) -> float:
    """Mean of the kernel over pairs of different rows."""
    products = cubic_kernel(x, x)
    return float((products.sum() - products.trace()) / (len(x) * (len(x) - 1)))


def cubic_kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel `(x·y / D + 1)³` [N, M] of features [N, D] and [M, D]."""
    products: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1.0) ** 3
    return products

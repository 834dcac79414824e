"""FID: the Fréchet distance between two Gaussians fitted to features (Heusel et al., NeurIPS 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swincli.metrics.definitions.moments import Moments


def frechet_distance(first: Moments, second: Moments) -> float:
    """|m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau 1982); symmetric in its arguments.

    The trace of the square root is the sum of the square roots of the eigenvalues of S1 S2. With S1 = L Lᵀ these are
    the eigenvalues of the symmetric Lᵀ S2 L. N samples give at most N - 1 eigenvalues above zero; the others are
    rounding noise and are dropped. If N is unknown, the rank of the covariance replaces N - 1
    (`Moments.from_mean_covariance`).

    Args:
        first: Moments of at least 2 features [D].
        second: Moments of the other side.
    """
    offset = first.mean - second.mean
    one, other = first.covariance, second.covariance
    rank = min(first.count - 1, second.count - 1, len(one))
    eigenvalues = _product_eigenvalues(one, other)[-rank:]
    overlap = np.sqrt(eigenvalues.clip(min=0.0)).sum()
    return max(0.0, float(offset @ offset + np.trace(one) + np.trace(other) - 2.0 * overlap))


def _product_eigenvalues(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eigenvalues of the product of two covariances, ascending [D]."""
    for left, right in ((one, other), (other, one)):
        try:
            factor = np.linalg.cholesky(left)
        except np.linalg.LinAlgError:
            continue  # rank-deficient; try the other covariance
        return np.linalg.eigvalsh(factor.T @ right @ factor)
    values, vectors = np.linalg.eigh(one)
    factor = vectors * np.sqrt(values.clip(min=0.0))
    return np.linalg.eigvalsh(factor.T @ other @ factor)

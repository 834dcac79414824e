"""The Fréchet distance between two Gaussians; of the features of two sides it is FID (Heusel et al., NeurIPS 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swincli.metrics.definitions.moments import Moments


def frechet_distance(first: Moments, second: Moments) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), Dowson and Landau 1982.

    The trace of the square root is the sum of the roots of the eigenvalues of S1 S2, which with S1 = L L^T are those of
    the symmetric L^T S2 L. N samples leave at most N - 1 of them above zero; the others, rounding noise, are left out.
    Where the number of one side is not known, the rank of its covariance takes its place (`Moments.given`).

    Args:
        first: Moments of at least 2 features [D].
        second: The same of the other side; the order makes no difference.
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
            continue  # not of full rank; the other one may be
        return np.linalg.eigvalsh(factor.T @ right @ factor)
    values, vectors = np.linalg.eigh(one)
    factor = vectors * np.sqrt(values.clip(min=0.0))
    return np.linalg.eigvalsh(factor.T @ other @ factor)

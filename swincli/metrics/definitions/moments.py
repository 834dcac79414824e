"""Mean and covariance of features, accumulated block by block in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Moments:
    """First and second moments of features.

    Attributes:
        count: Number of features N; if it is unknown, the rank of the covariance + 1.
        mean: float64 [D].
        scatter: Sum of outer products of the centred features, float64 [D, D]: (N - 1) times the covariance.
    """

    count: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def from_features(cls, features: NDArray[np.floating]) -> Self:
        """Moments of features [N, D], N at least 1."""
        exact = features.astype(np.float64)
        mean = exact.mean(axis=0)
        exact -= mean
        return cls(len(exact), mean, exact.T @ exact)

    @classmethod
    def from_mean_covariance(cls, mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> Self:
        """Moments from a mean [D] and a covariance [D, D] with unknown N, such as another program's statistics."""
        rank = max(1, int(np.linalg.matrix_rank(covariance, hermitian=True)))
        return cls(rank + 1, mean, covariance * rank)

    def merge(self, other: Self) -> Self:
        """Moments of both sets of features (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        offset = other.mean - self.mean
        scatter = np.outer(offset, offset)
        scatter *= self.count * other.count / count
        scatter += self.scatter
        scatter += other.scatter
        return type(self)(count, self.mean + offset * (other.count / count), scatter)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Unbiased covariance [D, D]; N at least 2."""
        return self.scatter / (self.count - 1)

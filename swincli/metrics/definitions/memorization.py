"""Memorization: whether fakes are training pictures over again.

Two sides can be close because the fakes are as the reals are, or because they are the reals. Alaa et al. (ICML 2022,
"How Faithful is your Synthetic Data?") tell these apart by distances: what was copied lies nearer to a real than that
one's own neighbours do. Distances are Euclidean in the detector's features, as for precision and recall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from swincli.metrics.definitions import prdc
from swincli.metrics.definitions.prdc import neighbour_distances, squared_distances


@dataclass(frozen=True, eq=False)
class Nearest:
    """What lies nearest to each of N fakes.

    Attributes:
        real: Index of the nearest real, int64 [N].
        distance: How far away it is, float64 [N].
        spacing: How far that real's own nearest other real is from it, float64 [N].
    """

    real: NDArray[np.int64]
    distance: NDArray[np.float64]
    spacing: NDArray[np.float64]

    @property
    def authentic(self) -> NDArray[np.bool_]:
        """Which fakes are farther from their nearest real than another real is, [N]."""
        return self.distance > self.spacing

    @property
    def closeness(self) -> NDArray[np.float64]:
        """Distance over spacing, [N]: 0 is a copy, above 1 is authentic. Infinite next to a real that has a twin."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.distance / self.spacing
        return np.where(self.distance == 0, 0.0, ratio)


def nearest_reals(
    fakes: NDArray[np.floating], reals: NDArray[np.floating], device: torch.device | None = None
) -> Nearest:
    """Find the nearest real of every fake, in blocks.

    Args:
        fakes: Features [N, D].
        reals: Features [M, D], M at least 2.
        device: Where to compute, in float64; the CPU by default.
    """
    device = device or torch.device("cpu")
    f, r = (torch.from_numpy(np.ascontiguousarray(side)).to(device, torch.float64) for side in (fakes, reals))
    (spacing,) = neighbour_distances(r, (1,))
    smallest = [squared_distances(rows, r).min(dim=1) for rows in f.split(prdc.BLOCK)]
    squared, real = (torch.cat([block[part] for block in smallest]) for part in (0, 1))
    results = (squared.sqrt(), spacing.sqrt()[real])
    return Nearest(real.cpu().numpy(), *(result.cpu().numpy() for result in results))

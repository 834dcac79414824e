"""Memorization: whether fakes are copies of training images.

Fakes can be close to the reals because they resemble them or because they copy them. Authenticity (Alaa et al., ICML
2022, "How Faithful is your Synthetic Data?") separates the two: a copy is closer to a real than that real's nearest
other real is. Distances are Euclidean between detector features, as for precision and recall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.metrics.definitions import prdc
from swincli.metrics.definitions.prdc import neighbour_distances, squared_distances


@dataclass(frozen=True, eq=False)
class NearestReals:
    """The nearest real of each of N fakes.

    Attributes:
        real: Index of the nearest real, int64 [N].
        distance: Distance to it, float64 [N].
        spacing: Distance from that real to its own nearest other real, float64 [N].
    """

    real: NDArray[np.int64]
    distance: NDArray[np.float64]
    spacing: NDArray[np.float64]

    @property
    def authentic(self) -> NDArray[np.bool_]:
        """Whether a fake is farther from its nearest real than another real is, bool [N]."""
        return self.distance > self.spacing

    @property
    def distance_ratio(self) -> NDArray[np.float64]:
        """Distance / spacing, float64 [N]: 0 is a copy, above 1 is authentic; infinite if the real has a twin."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.distance / self.spacing
        return np.where(self.distance == 0, 0.0, ratio)


def nearest_reals(
    fakes: NDArray[np.floating],
    reals: NDArray[np.floating],
    device: torch.device | None = None,
    real_distances: Tensor | None = None,
) -> NearestReals:
    """Find the nearest real of every fake, in blocks of rows.

    Args:
        fakes: Features [N, D].
        reals: Features [M, D], M at least 2.
        device: Device of the distances, in float64; the CPU by default, and in place of MPS.
        real_distances: `neighbour_distances` of the reals, if they are known.
    """
    f, r = prdc.centred(fakes, reals, device)
    spacing = (neighbour_distances(r, 1) if real_distances is None else real_distances)[:, 0]
    smallest = [squared_distances(rows, r).min(dim=1) for rows in f.split(prdc.BLOCK)]
    squared, real = (torch.cat([block[part] for block in smallest]) for part in (0, 1))
    results = (squared.sqrt(), spacing.sqrt()[real])
    return NearestReals(real.cpu().numpy(), *(result.cpu().numpy() for result in results))

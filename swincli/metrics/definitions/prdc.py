"""Precision and recall, density and coverage: how far the regions of fakes and reals overlap.

A side's region is the union of balls around its members, each as wide as the distance to the member's k-th nearest
neighbour. Precision and recall are Kynkäänniemi et al.'s (NeurIPS 2019, k = 3), density and coverage Naeem et al.'s
(ICML 2020, k = 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PRECISION_K, COVERAGE_K = 3, 5
BLOCK = 2048  # rows of distances at a time: at 50,000 a side they take 0.8 GiB


@dataclass(frozen=True)
class Overlap:
    """What each picture says of the overlap; the metrics are the means.

    Attributes:
        precision: Which fakes lie in the reals' region, bool [N].
        recall: Which reals lie in the fakes' region, bool [M].
        density: In how many reals' balls each fake lies, as a share of k, float64 [N].
        coverage: Which reals' balls hold a fake, bool [M].
    """

    precision: NDArray[np.bool_]
    recall: NDArray[np.bool_]
    density: NDArray[np.float64]
    coverage: NDArray[np.bool_]


def overlap(
    fakes: NDArray[np.floating],
    reals: NDArray[np.floating],
    device: torch.device | None = None,
    precision_k: int = PRECISION_K,
    coverage_k: int = COVERAGE_K,
) -> Overlap:
    """Compare every fake with every real, in blocks.

    Args:
        fakes: Features [N, D], N above the larger k.
        reals: Features [M, D], M above the larger k.
        device: Where to compute, in float64; the CPU by default.
        precision_k: Neighbours of precision and recall.
        coverage_k: Neighbours of density and coverage.
    """
    device = device or torch.device("cpu")
    f, r = (torch.from_numpy(np.ascontiguousarray(side)).to(device, torch.float64) for side in (fakes, reals))
    ks = (precision_k, coverage_k)
    (r_radius, r_wide), (f_radius, _) = neighbour_distances(r, ks), neighbour_distances(f, ks)
    precise = torch.zeros(len(f), dtype=torch.bool, device=device)
    balls = torch.zeros(len(f), dtype=torch.float64, device=device)
    recalled, covered = [], []
    for start in range(0, len(r), BLOCK):
        rows = slice(start, start + BLOCK)
        squared = squared_distances(r[rows], f)
        precise |= (squared < r_radius[rows, None]).any(dim=0)
        recalled.append((squared < f_radius).any(dim=1))
        held = squared < r_wide[rows, None]
        balls += held.sum(dim=0)
        covered.append(held.any(dim=1))
    results = (precise, torch.cat(recalled), balls / coverage_k, torch.cat(covered))
    return Overlap(*(result.cpu().numpy() for result in results))


def neighbour_distances(x: Tensor, ks: tuple[int, ...]) -> list[Tensor]:
    """Squared distances [N] of each member of `[N, D]` to its k-th nearest neighbour, for each k below N."""
    nearest = []
    for start in range(0, len(x), BLOCK):
        squared = squared_distances(x[start : start + BLOCK], x)
        own = torch.arange(start, start + len(squared), device=x.device)
        squared[torch.arange(len(squared), device=x.device), own] = torch.inf  # oneself is no neighbour
        nearest.append(squared.topk(max(ks), dim=1, largest=False).values)
    ordered = torch.cat(nearest)
    return [ordered[:, k - 1] for k in ks]


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances `[N, M]` of `[N, D]` and `[M, D]`, by way of their products; never negative."""
    products = torch.addmm(y.square().sum(dim=1)[None], x, y.T, alpha=-2.0)
    return products.add_(x.square().sum(dim=1)[:, None]).clamp_(min=0.0)

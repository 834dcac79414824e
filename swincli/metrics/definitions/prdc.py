"""PRDC: precision, recall, density and coverage of fakes and reals in feature space.

Each image has a ball around its features; the radius is the distance to its k-th nearest neighbour on its own side. A
side's region is the union of its balls. Precision and recall follow Kynkäänniemi et al. (NeurIPS 2019, k = 3, closed
balls), density and coverage Naeem et al. (ICML 2020, k = 5, open balls), each as in the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from swincli.system.runtime import float64_device

PRECISION_K, COVERAGE_K = 3, 5
SAME = 1e-12  # squared distance, relative to the squared norms, below which two features count as equal
BLOCK = 1024  # rows of distances per block: 0.4 GiB with 50,000 images per side, twice while they are computed


@dataclass(frozen=True)
class PRDC:
    """Per-image values; the metrics are their means.

    Attributes:
        precision: Whether a fake is in the reals' region, bool [N].
        recall: Whether a real is in the fakes' region, bool [M].
        density: Number of reals' balls that contain a fake, divided by k, float64 [N].
        coverage: Whether a real's ball contains a fake, bool [M].
    """

    precision: NDArray[np.bool_]
    recall: NDArray[np.bool_]
    density: NDArray[np.float64]
    coverage: NDArray[np.bool_]


def compute_prdc(
    fakes: NDArray[np.floating],
    reals: NDArray[np.floating],
    device: torch.device | None = None,
    precision_k: int = PRECISION_K,
    coverage_k: int = COVERAGE_K,
    real_distances: Tensor | None = None,
) -> PRDC:
    """Compare every fake with every real, in blocks of rows.

    Args:
        fakes: Features [N, D], N > k.
        reals: Features [M, D], M > k.
        device: Device of the distances, in float64; the CPU by default, and in place of MPS.
        precision_k: Number of neighbours k for precision and recall.
        coverage_k: Number of neighbours k for density and coverage.
        real_distances: `neighbour_distances` of the reals, if they are known.
    """
    f, r = centred(fakes, reals, device)
    if real_distances is None:
        real_distances = neighbour_distances(r, max(precision_k, coverage_k))
    r_radius, r_wide = (real_distances[:, k - 1] for k in (precision_k, coverage_k))
    f_radius = neighbour_distances(f, precision_k)[:, -1]
    precise = torch.zeros(len(f), dtype=torch.bool, device=f.device)
    balls = torch.zeros(len(f), dtype=torch.float64, device=f.device)
    recalled, covered = [], []
    for start in range(0, len(r), BLOCK):
        rows = slice(start, start + BLOCK)
        squared = squared_distances(r[rows], f)
        precise |= (squared <= r_radius[rows, None]).any(dim=0)
        recalled.append((squared <= f_radius).any(dim=1))
        held = squared < r_wide[rows, None]
        balls += held.sum(dim=0)
        covered.append(held.any(dim=1))
    results = (precise, torch.cat(recalled), balls / coverage_k, torch.cat(covered))
    return PRDC(*(result.cpu().numpy() for result in results))


def centred(
    fakes: NDArray[np.floating], reals: NDArray[np.floating], device: torch.device | None
) -> tuple[Tensor, Tensor]:
    """Features [N, D] and [M, D] in float64 around the mean of the reals, where `squared_distances` are most exact.

    They are on the device, or on the CPU if it is None or has no float64.
    """
    place = float64_device(device or torch.device("cpu"))
    f, r = (torch.from_numpy(np.ascontiguousarray(side)).to(place, torch.float64) for side in (fakes, reals))
    middle = r.mean(dim=0)
    return f - middle, r - middle


def neighbour_distances(x: Tensor, k: int) -> Tensor:
    """Squared distances [N, k] of each row of x [N, D] to its k nearest other rows; infinite if there are fewer."""
    nearest = []
    for start in range(0, len(x), BLOCK):
        squared = squared_distances(x[start : start + BLOCK], x)
        own = torch.arange(start, start + len(squared), device=x.device)
        squared[torch.arange(len(squared), device=x.device), own] = torch.inf  # a row is not its own neighbour
        nearest.append(squared.topk(min(k, len(x)), dim=1, largest=False).values)
    found = torch.cat(nearest)
    return F.pad(found, (0, k - found.shape[1]), value=torch.inf)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances [N, M] of x [N, D] and y [M, D] by a matrix product.

    The rounding of a product leaves equal rows a distance, as does that of a detector on one image in two batches. So
    a distance within `SAME` is 0.
    """
    x_squares, y_squares = x.square().sum(dim=1)[:, None], y.square().sum(dim=1)[None]
    squared = torch.addmm(y_squares, x, y.T, alpha=-2.0).add_(x_squares)
    return squared.masked_fill_(squared <= SAME * x_squares + SAME * y_squares, 0.0)

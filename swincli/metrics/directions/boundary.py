"""Linear boundaries in w between images of high and of low scores (InterFaceGAN: Shen et al., CVPR 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.errors import DataError
from swincli.metrics.networks.attribute_probe import logistic_boundary, split_by_class

STRENGTH = 0.1  # C of the logistic regression
FEWEST = 10  # images of each side
FEW_VALUES = 10  # scores with no more different values are labels by hand: the highest against the lowest


@dataclass(frozen=True, eq=False)
class Boundary:
    """A boundary in w.

    Attributes:
        normal: Its unit normal, towards higher scores, float64 `[D]`.
        accuracy: Share of held-out images that are on the right side.
        correlation: Correlation of `w @ normal` with the score, over all images that the fit has not seen.
        images: Images that were told apart, and those of them that were held out.
    """

    normal: NDArray[np.float64]
    accuracy: float
    correlation: float
    images: tuple[int, int]


def find_boundary(w: NDArray[np.float32], scores: NDArray[np.float64], share: float, seed: int = 0) -> Boundary:
    """The boundary between the images of the highest and of the lowest scores.

    70 % of both are for the fit, and the rest for the accuracy.

    Args:
        w: `[N, D]`.
        scores: `[N]`.
        share: Share of the images that are taken from each end, up to 0.5. Scores with at most 10 different values
            are taken for labels: the highest against the lowest.
        seed: Of the split.

    Raises:
        DataError: all scores are equal, or there are fewer than 10 images on a side.
    """
    positive, negative = _ends(scores, share)
    chosen = np.concatenate([negative, positive])
    target = np.repeat([0, 1], [len(negative), len(positive)])
    fitted, held_out = split_by_class(target, seed)
    boundary = logistic_boundary(w[chosen[fitted]], target[fitted] == 1, STRENGTH)
    above = w[chosen[held_out]].astype(np.float64) @ boundary[:-1] + boundary[-1] > 0
    right = above == (target[held_out] == 1)
    accuracy = float(np.mean([right[target[held_out] == side].mean() for side in (0, 1)]))
    normal = boundary[:-1] / np.linalg.norm(boundary[:-1])
    unseen = np.setdiff1d(np.arange(len(w)), chosen[fitted])
    along = w[unseen].astype(np.float64) @ normal
    spread = along.std() * scores[unseen].std()
    moment = np.mean((along - along.mean()) * (scores[unseen] - scores[unseen].mean()))
    return Boundary(normal, accuracy, float(moment / spread) if spread else 0.0, (len(chosen), len(held_out)))


def _ends(scores: NDArray[np.float64], share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    values = np.unique(scores)
    if len(values) < 2:
        raise DataError("scores: all are equal, so nothing tells the images apart", "Give scores that differ.")
    if len(values) <= FEW_VALUES:
        positive, negative = np.flatnonzero(scores == values[-1]), np.flatnonzero(scores == values[0])
    else:
        order, count = np.argsort(scores, kind="stable"), round(share * len(scores))
        positive, negative = order[len(order) - count :], order[:count]
    if min(len(positive), len(negative)) < FEWEST:
        raise DataError(
            f"scores: {len(positive)} images with high and {len(negative)} with low scores are too few",
            f"At least {FEWEST} of each are needed: give more seeds, or a larger --share.",
        )
    return positive, negative


def orthogonal_to(normal: Tensor, others: Tensor) -> Tensor:
    """The part of a normal `[D]` that is orthogonal to all others `[K, D]`, of length 1.

    `n - N^T (N N^T)^-1 N n` (Shen et al., 2020, section 2.3, for any number of conditions).

    Raises:
        DataError: nothing is left.
    """
    if not len(others):
        return normal
    basis = torch.linalg.qr(others.double().T)[0]
    rest = normal.double()
    for _ in range(2):  # the second time removes what rounding has left
        rest = rest - basis @ (basis.T @ rest)
    if rest.norm() < 1e-4 * normal.double().norm():
        raise DataError("--orthogonal-to: the direction is made of these alone", "Leave some of them out.")
    unit: Tensor = (rest / rest.norm()).to(normal.dtype)
    return unit

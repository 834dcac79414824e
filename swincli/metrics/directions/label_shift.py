"""Directions of models with labels: the mean change of w when one label of the same seeds changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.errors import DataError
from swincli.metrics.networks.attribute_probe import HELD_OUT
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.codes import w_of_seeds

_BATCH = 1000


@dataclass(frozen=True, eq=False)
class Shift:
    """The mean change of w.

    Attributes:
        normal: Its direction, float64 `[latent_dim]` of length 1.
        length: Its length.
        accuracy: Share of held-out codes that are on their side of the middle between both means.
        seeds: Seeds, and those of them that were held out.
    """

    normal: NDArray[np.float64]
    length: float
    accuracy: float
    seeds: tuple[int, int]


def mean_shift(model: Model, seeds: Sequence[int], having: Tensor, without: Tensor) -> Shift:
    """The mean change of w from labels without something to labels with it; the last 30 % of the seeds are held out.

    Args:
        model: A model with attributes.
        seeds: N seeds.
        having, without: Labels `[N, columns]` of each.

    Raises:
        DataError: w does not depend on it.
    """
    fitted = len(seeds) - max(1, round(HELD_OUT * len(seeds)))
    there, elsewhere = _w(model, seeds, having), _w(model, seeds, without)
    means = there[:fitted].mean(axis=0), elsewhere[:fitted].mean(axis=0)
    shift = means[0] - means[1]
    length = float(np.linalg.norm(shift))
    if length <= 1e-6 * float(np.linalg.norm(there, axis=1).mean()):
        raise DataError(f"{model.path}: w is the same with this label and without it", "Train the model longer.")
    normal = shift / length
    middle = (means[0] + means[1]) @ normal / 2
    right = np.mean(there[fitted:] @ normal > middle), np.mean(elsewhere[fitted:] @ normal < middle)
    return Shift(normal, length, float(np.mean(right)), (len(seeds), len(seeds) - fitted))


def _w(model: Model, seeds: Sequence[int], labels: Tensor) -> NDArray[np.float64]:
    starts = range(0, len(seeds), _BATCH)
    parts = [w_of_seeds(model, seeds[start : start + _BATCH], labels[start : start + _BATCH]) for start in starts]
    return torch.cat(parts).cpu().double().numpy()

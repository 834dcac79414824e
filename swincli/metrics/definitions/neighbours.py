"""Distances between the features of both sides, for the metrics that use nearest neighbours."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.metrics.definitions import prdc
from swincli.metrics.definitions.memorization import NearestReals, nearest_reals
from swincli.metrics.definitions.prdc import COVERAGE_K, PRDC, PRECISION_K, compute_prdc


class Neighbours:
    """Computes what is asked for, once. PRDC and memorization share the distances between the reals.

    Args:
        fakes: Features [N, D].
        reals: Features [M, D], M at least 2.
        device: Device of the distances, in float64; the CPU in place of MPS.
    """

    def __init__(self, fakes: NDArray[np.floating], reals: NDArray[np.floating], device: torch.device) -> None:
        self._fakes, self._reals, self._device = fakes, reals, device

    @cached_property
    def _real_distances(self) -> Tensor:
        _, r = prdc.centred(self._fakes[:1], self._reals, self._device)
        return prdc.neighbour_distances(r, max(PRECISION_K, COVERAGE_K))

    @cached_property
    def prdc(self) -> PRDC:
        """Precision, recall, density and coverage; M and N must exceed their numbers of neighbours."""
        return compute_prdc(self._fakes, self._reals, self._device, real_distances=self._real_distances)

    @cached_property
    def nearest(self) -> NearestReals:
        """The nearest real of every fake."""
        return nearest_reals(self._fakes, self._reals, self._device, self._real_distances)

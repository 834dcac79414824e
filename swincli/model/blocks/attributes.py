"""Vectors of attributes: each has vectors of its own, for G's mapping network and for D's projection.

A value becomes a few features, a fixed function of it, and these are multiplied by learned vectors. An attribute's
vector has root mean square 1, so attributes of many values do not drown out the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.layers import PixelNorm
from swincli.ops.precision import in_float32
from swincli.recipe.attributes import Kind, columns_by_name

WAVES = 3  # cosines among the features of a number


@dataclass(frozen=True)
class Features:
    """A row of the table of features.

    Attributes:
        count: Features of a kind with so many values.
        of: Columns `[B, C]` without NaN, and the number of values -> features `[B, count]`.
    """

    count: Callable[[int], int]
    of: Callable[[Tensor, int], Tensor]


def _one_hot(value: Tensor, size: int) -> Tensor:
    return (value == torch.arange(size, device=value.device)).to(value.dtype)


def _number(value: Tensor, _: int) -> Tensor:
    """1, a ramp from -1 to 1, and cosines of 1 to 3 half periods over the range: numbers close together look alike."""
    waves = torch.arange(1, WAVES + 1, device=value.device)
    return torch.cat([torch.ones_like(value), 2 * value - 1, torch.cos(math.pi * value * waves)], dim=1)


def _several(values: Tensor, _: int) -> Tensor:
    """The values of an image with length 1, beside a feature for none of them: 1 value counts as much as 4."""
    none = (values.sum(dim=1, keepdim=True) == 0).to(values.dtype)
    return F.normalize(torch.cat([values, none], dim=1), dim=1)


FEATURES: dict[str, Features] = {
    "class": Features(lambda size: size, _one_hot),
    "flag": Features(lambda _: 2, lambda value, _: _one_hot(value, 2)),
    "number": Features(lambda _: 2 + WAVES, _number),
    "several": Features(lambda size: size + 1, _several),
    "text": Features(lambda size: size, lambda vector, _: vector),
}
"""How each kind of attribute becomes features."""


class AttributeEmbedding(nn.Module):
    """The sum of the attributes' vectors.

    Args:
        kinds: Kinds by name, in the order of the columns.
        dim: Length of a vector.
        with_unknown: Unknown values have a learned vector each, and the sum has root mean square 1, as G needs it.
            Else unknown values add nothing, and the sum is as it is, as D's projection needs it.
    """

    def __init__(self, kinds: Mapping[str, Kind], dim: int, *, with_unknown: bool) -> None:
        super().__init__()
        self.kinds, self.with_unknown = dict(kinds), with_unknown
        self.places = columns_by_name(kinds)
        self.norm = PixelNorm()
        for name, kind in kinds.items():
            features = FEATURES[kind.name].count(kind.size) + with_unknown
            self.register_parameter(f"vectors_{name}", nn.Parameter(torch.randn(dim, features)))

    def vector(self, name: str, columns: Tensor) -> Tensor:
        """The vector of one attribute, `[B, C] -> [B, dim]`, of RMS 1; for NaN 0 unless `with_unknown`."""
        kind = self.kinds[name]
        unknown = columns[:, :1].isnan()
        features = FEATURES[kind.name].of(torch.where(columns.isnan(), 0, columns), kind.size)
        features = torch.where(unknown, 0, features)
        if self.with_unknown:
            features = torch.cat([features, unknown.to(features.dtype)], dim=1)
        vectors: Tensor = self.norm(F.linear(features, self.get_parameter(f"vectors_{name}")))
        return vectors

    @in_float32
    def forward(self, labels: Tensor) -> Tensor:
        """float32 `[B, columns]` -> `[B, dim]`, in float32 under autocast; also `[B, K, columns]` -> `[B, K, dim]`."""
        if labels.ndim == 3:
            several: Tensor = self(labels.flatten(0, 1)).unflatten(0, labels.shape[:2])
            return several
        total = torch.stack([self.vector(name, labels[:, place]) for name, place in self.places.items()]).sum(dim=0)
        return self.norm(total) if self.with_unknown else total

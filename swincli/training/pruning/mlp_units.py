"""Hidden units of G's MLPs: how much each adds to the images, and an MLP without the weakest ones.

A unit adds its activation times its column of the second layer. Its effect is the norm of the column times the standard
deviation of the activation over images and positions: that much changes if the unit goes and its mean moves into the
bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.mlp import Mlp
from swincli.model.generator import Block, Generator

POSITIONS = 2**16
"""Positions whose activations are computed at once."""

Weights = dict[str, Tensor]
"""The state dict of a generator that is made smaller."""


@dataclass(frozen=True)
class UnitStatistics:
    """Mean and standard deviation of the units of one MLP after the GELU, float64 `[hidden]` on the CPU."""

    mean: Tensor
    deviation: Tensor


class UnitSums:
    """Sums of activations and of their squares; a forward pre-hook of an MLP."""

    def __init__(self, mlp: Mlp) -> None:
        self.total, self.squares = torch.zeros(2, mlp.expand.out_features, dtype=torch.float64)
        self.count = 0

    def __call__(self, mlp: nn.Module, given: tuple[Tensor, Tensor]) -> None:
        assert isinstance(mlp, Mlp)
        for part in given[0].flatten(0, -2).split(POSITIONS):
            units = F.gelu(F.linear(part, mlp.expand.weight, mlp.expand.bias))
            self.total += units.sum(dim=0).cpu()
            self.squares += units.square().sum(dim=0).cpu()
            self.count += len(units)

    def statistics(self) -> UnitStatistics:
        """The statistics of what passed until now."""
        mean = self.total / self.count
        return UnitStatistics(mean, (self.squares / self.count - mean.square()).clamp(min=0).sqrt())


def mlps_of(generator: Generator) -> list[Mlp]:
    """The MLPs of all blocks, in their order."""
    blocks = (module for module in generator.modules() if isinstance(module, Block))
    return [block.mlp for block in blocks if isinstance(block.mlp, Mlp)]


def strongest_units(mlp: Mlp, statistics: UnitStatistics, count: int) -> Tensor:
    """Indices of the units with the largest effects, int64 `[count]`, in their order."""
    columns = mlp.contract.weight.detach().double().cpu().norm(dim=0)
    strongest = (columns * statistics.deviation).argsort(descending=True, stable=True)[:count]
    return torch.sort(strongest).values


def prune_units(weights: Weights, name: str, mlp: Mlp, known: UnitStatistics, count: int) -> None:
    """Keep the strongest units of an MLP; the means of the others go to the bias.

    Args:
        weights: Of the generator; changed.
        name: Of the MLP in it.
        mlp: The MLP as it was.
        known: Its statistics.
        count: Units to keep.
    """
    chosen = strongest_units(mlp, known, count)
    removed = torch.ones(len(known.mean), dtype=torch.bool)
    removed[chosen] = False
    expand, bias, contract = (weights[f"{name}.{end}"] for end in ("expand.weight", "expand.bias", "contract.weight"))
    if removed.any():
        weights[f"{name}.contract.bias"] += contract[:, removed] @ known.mean[removed].to(contract)
    weights[f"{name}.expand.weight"], weights[f"{name}.expand.bias"] = expand[chosen], bias[chosen]
    weights[f"{name}.contract.weight"] = contract[:, chosen].contiguous()

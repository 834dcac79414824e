"""Heads of G's window attention: how much each adds to the images, and an attention without the weakest ones.

A head adds its result, a vector, times its columns P of the last projection. Its effect is the root of the variance of
this over images and positions, tr(P Σ Pᵀ) with the covariance Σ of the vector: that much changes if the head goes and
its mean moves into the bias. Each head group keeps the same number, since half of the heads have windows of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swincli.model.blocks.attention import GroupedAttention
from swincli.training.pruning.mlp_units import POSITIONS, Weights


@dataclass(frozen=True)
class HeadStatistics:
    """Mean `[heads, d]` and covariance `[heads, d, d]` of the heads of one layer, float64 on the CPU."""

    mean: Tensor
    covariance: Tensor


class HeadSums:
    """Sums of the heads' results and of their products; a forward pre-hook of the last projection."""

    def __init__(self, attention: GroupedAttention) -> None:
        heads, dim = attention.inner // attention.head_dim, attention.head_dim
        self.total = torch.zeros(heads, dim, dtype=torch.float64)
        self.products = torch.zeros(heads, dim, dim, dtype=torch.float64)
        self.count = 0

    def __call__(self, projection: nn.Module, given: tuple[Tensor]) -> None:  # noqa: ARG002
        for part in given[0].flatten(0, -2).split(POSITIONS):
            by_head = part.unflatten(-1, self.total.shape).transpose(0, 1)
            self.total += by_head.sum(dim=1).cpu()
            self.products += (by_head.mT @ by_head).cpu()
            self.count += len(part)

    def statistics(self) -> HeadStatistics:
        """The statistics of what passed until now."""
        mean = self.total / self.count
        return HeadStatistics(mean, self.products / self.count - mean[:, :, None] * mean[:, None, :])


def strongest_heads(attention: GroupedAttention, known: HeadStatistics, count: int) -> Tensor:
    """Indices of the heads with the largest effects, int64 `[count]`, in their order; as many of each head group."""
    columns = attention.proj.weight.detach().double().cpu().unflatten(1, known.mean.shape).transpose(0, 1)
    effects = ((columns @ known.covariance) * columns).sum(dim=(1, 2))  # [heads]
    by_group = effects.unflatten(0, (len(attention.halves), -1))
    best = by_group.argsort(dim=1, descending=True, stable=True)[:, : count // len(by_group)]
    first = torch.arange(len(by_group))[:, None] * by_group.shape[1]
    return torch.sort((best + first).flatten()).values


def prune_heads(weights: Weights, name: str, attention: GroupedAttention, known: HeadStatistics, count: int) -> None:
    """Keep the strongest heads of an attention; the means of the others go to the bias.

    Args:
        weights: Of the generator; changed.
        name: Of the attention in it.
        attention: The attention as it was.
        known: Its statistics.
        count: Heads to keep.
    """
    chosen, shape = strongest_heads(attention, known, count), known.mean.shape
    removed = torch.ones(shape[0], dtype=torch.bool)
    removed[chosen] = False
    if not removed.any():
        return
    projection = weights[f"{name}.proj.weight"].unflatten(1, shape)
    weights[f"{name}.proj.bias"] += projection[:, removed].flatten(1) @ known.mean[removed].flatten().to(projection)
    weights[f"{name}.proj.weight"] = projection[:, chosen].flatten(1)
    for kind in "weight", "bias":
        rows = weights[f"{name}.qkv.{kind}"].unflatten(0, (3, *shape))
        weights[f"{name}.qkv.{kind}"] = rows[:, chosen].flatten(0, 2)
    groups = len(attention.halves)
    for group, kept in enumerate(chosen.unflatten(0, (groups, -1)) % (shape[0] // groups)):
        table = f"{name}.halves.{group}.position_bias"
        if table in weights:
            weights[table] = weights[table][:, kept].contiguous()

"""Style injection (StyleSwin, section 3.1, "Style injection", and its table 1): a table of builders.

A row holds the modules that may use w. A new kind of style injection is one more row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swincli.model.blocks.adaptive_norm import AdaptiveBatchNorm, AdaptiveInstanceNorm, AdaptiveLayerNorm, LayerNorm
from swincli.model.blocks.cross_attention import CrossAttention
from swincli.model.blocks.mlp import Mlp, ModulatedMlp
from swincli.recipe.schema import ModelSection

Builder = Callable[[ModelSection, int], nn.Module]


class LatentProjection(nn.Module):
    """The input of a generator without style injection: a linear layer of w, to which the learned constant is added.

    Args:
        latent_dim: Length of w.
        channels: Channels of the first map.
        side: Side of the first map.
    """

    def __init__(self, latent_dim: int, channels: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(side, side, channels, latent_dim))
        self.scale = latent_dim**-0.5

    def forward(self, w: Tensor) -> Tensor:
        """`[B, latent_dim] -> [B, side, side, C]`."""
        return torch.einsum("hwcl,bl->bhwc", self.weight * self.scale, w)


def _adaptive(norm: Callable[[int, int, float], nn.Module]) -> Builder:
    return lambda config, side: norm(config.width_at(side), config.latent_dim, config.adain_gamma)


def _layer_norm(config: ModelSection, side: int) -> nn.Module:
    return LayerNorm(config.width_at(side))


def _mlp(config: ModelSection, side: int) -> nn.Module:
    return Mlp(config.width_at(side), config.hidden_at(side))


@dataclass(frozen=True)
class StyleInjection:
    """Builders of the modules that may use w; each takes the [model] section and the side of the map.

    Attributes:
        norm: The norm before the attention and before the MLP of a block: (x, w) -> x.
        mlp: The block's MLP: (x, w) -> x.
        cross: A residual branch between attention and MLP: (x, w) -> x; None for no branch.
        start: Added to the learned constant: w -> `[B, 4, 4, C]`; None for nothing.
        whole_batch: In training mode the norm uses statistics of the whole batch, so the batch cannot be split.
    """

    norm: Builder = _layer_norm
    mlp: Builder = _mlp
    cross: Builder | None = None
    start: Builder | None = None
    whole_batch: bool = False


STYLES: dict[str, StyleInjection] = {
    "adain": StyleInjection(norm=_adaptive(AdaptiveInstanceNorm)),
    "adaln": StyleInjection(norm=_adaptive(AdaptiveLayerNorm)),
    "adabn": StyleInjection(norm=_adaptive(AdaptiveBatchNorm), whole_batch=True),
    "modulated-mlp": StyleInjection(
        mlp=lambda config, side: ModulatedMlp(config.width_at(side), config.hidden_at(side), config.latent_dim)
    ),
    "cross-attention": StyleInjection(
        cross=lambda config, side: CrossAttention(config.width_at(side), config.heads_at(side), config.latent_dim)
    ),
    "none": StyleInjection(start=lambda config, side: LatentProjection(config.latent_dim, config.width_at(side), side)),
}

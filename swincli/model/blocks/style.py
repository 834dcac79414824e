"""How a style reaches the features (StyleSwin, section 3.1, "Style injection", and its table 1): a table of builders.

Every entry names what a generator is built of where w may enter it. A new way of injecting style is one more entry.
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
    """What a generator without style starts from: a linear layer of w, added to the learned constant as its bias.

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
    return lambda config, channels: norm(channels, config.latent_dim, config.adain_gamma)


def _layer_norm(config: ModelSection, channels: int) -> nn.Module:  # noqa: ARG001
    return LayerNorm(channels)


def _mlp(config: ModelSection, channels: int) -> nn.Module:
    return Mlp(channels, config.mlp_ratio)


@dataclass(frozen=True)
class StyleInjection:
    """Builders of what w may enter; each takes the [model] section and the channels.

    Attributes:
        norm: Before the attention and before the MLP of a block: (x, w) -> x.
        mlp: The block's MLP: (x, w) -> x.
        cross: What a block adds between attention and MLP: (x, w) -> x; None for nothing.
        start: What is added to the constant that the features start from: w -> `[B, 4, 4, C]`; None for nothing.
    """

    norm: Builder = _layer_norm
    mlp: Builder = _mlp
    cross: Builder | None = None
    start: Builder | None = None


STYLES: dict[str, StyleInjection] = {
    "adain": StyleInjection(norm=_adaptive(AdaptiveInstanceNorm)),
    "adaln": StyleInjection(norm=_adaptive(AdaptiveLayerNorm)),
    "adabn": StyleInjection(norm=_adaptive(AdaptiveBatchNorm)),
    "modulated-mlp": StyleInjection(
        mlp=lambda config, channels: ModulatedMlp(channels, config.mlp_ratio, config.latent_dim)
    ),
    "cross-attention": StyleInjection(
        cross=lambda config, channels: CrossAttention(channels, config.heads(channels), config.latent_dim)
    ),
    "none": StyleInjection(start=lambda config, channels: LatentProjection(config.latent_dim, channels, 4)),
}

"""AdaIN, AdaLN and AdaBN: normalisation whose scale and shift are functions of w (StyleSwin, section 3.1, AdaNorm).

Every norm is `gamma * normalised + beta`; (gamma, beta) is one equalised linear layer of w. `forward` takes a whole
map. `for_tiles` takes the statistics of a whole map and returns a function that normalises one tile of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.layers import EqualLinear
from swincli.ops.instance_norm import (
    EPS,
    NormaliseTile,
    instance_norm,
    instance_norm_with_remake,
    tiled_instance_norm,
)
from swincli.ops.precision import in_float32

ALL = slice(None)


def style_layer(channels: int, latent_dim: int, gamma_init: float) -> EqualLinear:
    """The equalised linear layer from w to (gamma, beta), `[B, latent_dim] -> [B, 2 C]`.

    The bias is `gamma_init` for gamma and 0 for beta.
    """
    bias = torch.zeros(2 * channels)
    bias[:channels] = gamma_init
    return EqualLinear(latent_dim, 2 * channels, bias_init=bias)


def scale_and_shift(style: EqualLinear, w: Tensor) -> tuple[Tensor, Tensor]:
    """gamma and beta of w: `[B, latent_dim] -> 2 of [B, 1, 1, C]`."""
    gamma, beta = style(w)[:, None, None].chunk(2, dim=-1)
    return gamma, beta


Styles = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(gamma, beta) of both norms of a block, `[B, 1, 1, C]` each."""


@in_float32
def styles_of(codes: Tensor, layers: Sequence[Sequence[EqualLinear]]) -> list[Styles]:
    """The style layers of all blocks of a generator, in one product for all of a width, for GPUs.

    Args:
        codes: The codes of n blocks, `[n, B, latent_dim]`.
        layers: The style layers of both norms of each block.

    Returns:
        Of each block.
    """
    scaled = (codes * layers[0][0].scale)[:, None].expand(-1, 4, -1, -1).flatten(0, 1)  # for 2 gammas and 2 betas
    parts: list[Tensor] = []
    for _, group in itertools.groupby(layers, key=lambda pair: len(pair[0].weight)):
        several = [layer for pair in group for layer in pair]
        weight = torch.cat([layer.weight for layer in several]).unflatten(0, (2 * len(several), -1))
        bias = torch.cat([layer.bias for layer in several]).unflatten(0, (2 * len(several), 1, -1))
        product = torch.baddbmm(bias, scaled[len(parts) : len(parts) + len(weight)], weight.transpose(1, 2))
        parts.extend(product[:, :, None, None].unbind(0))
    return [((one, two), (three, four)) for one, two, three, four in zip(*4 * [iter(parts)], strict=True)]


def normalise_with_remake(
    norm: nn.Module, x: Tensor, w: Tensor, style: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Callable[[], Tensor]]:
    """`norm(x, w)` of any norm, and a function that makes it again, equal bit for bit.

    AdaIN takes `style`, its gamma and beta, if they are known.
    """
    if isinstance(norm, AdaptiveInstanceNorm):
        return norm.with_remake(x, w, style)
    return norm(x, w), lambda: norm(x, w)


class AdaptiveInstanceNorm(nn.Module):
    """AdaIN: normalise every channel of an image over its positions (Huang and Belongie, 2017).

    `gamma * (x - mean) / sqrt(variance + 1e-5) + beta`, with the biased variance.

    Args:
        channels: Channels of x.
        latent_dim: Length of w.
        gamma_init: Initial bias of gamma.
    """

    def __init__(self, channels: int, latent_dim: int, gamma_init: float = 0.0) -> None:
        super().__init__()
        self.style = style_layer(channels, latent_dim, gamma_init)

    @in_float32
    def forward(self, x: Tensor, w: Tensor, style: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`, in float32 under autocast.

        `style` is gamma and beta, `[B, 1, 1, C]` each, if they are known.
        """
        return instance_norm(x, *(scale_and_shift(self.style, w) if style is None else style))

    @in_float32
    def with_remake(
        self, x: Tensor, w: Tensor, style: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Callable[[], Tensor]]:
        """The result of `forward`, and a function that makes it again without the statistics and the style layer."""
        return instance_norm_with_remake(x, *(scale_and_shift(self.style, w) if style is None else style))

    @in_float32
    def for_tiles(self, x: Tensor, w: Tensor) -> NormaliseTile:
        """The function that normalises one tile of x."""
        return tiled_instance_norm(x, *scale_and_shift(self.style, w))


class AdaptiveLayerNorm(nn.Module):
    """AdaLN: normalise every position over its channels. Arguments as for AdaIN."""

    def __init__(self, channels: int, latent_dim: int, gamma_init: float = 0.0) -> None:
        super().__init__()
        self.style = style_layer(channels, latent_dim, gamma_init)

    @in_float32
    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`, in float32 under autocast."""
        return self.for_tiles(x, w)(x, ALL)

    @in_float32
    def for_tiles(self, x: Tensor, w: Tensor) -> NormaliseTile:  # noqa: ARG002
        """The function that normalises one tile."""
        gamma, beta = scale_and_shift(self.style, w)
        return lambda values, images: torch.addcmul(
            beta[images], F.layer_norm(values, values.shape[-1:], eps=EPS), gamma[images]
        )


class AdaptiveBatchNorm(nn.Module):
    """AdaBN: normalise every channel over the positions of all images. Arguments as for AdaIN.

    In training mode the statistics are those of the batch, and the running statistics move towards them by 0.1. In eval
    mode the running statistics are used, so that an image does not depend on the others of its batch.
    """

    def __init__(self, channels: int, latent_dim: int, gamma_init: float = 0.0) -> None:
        super().__init__()
        self.style = style_layer(channels, latent_dim, gamma_init)
        self.norm = nn.BatchNorm1d(channels, eps=EPS, affine=False)

    @in_float32
    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`, in float32 under autocast."""
        return self.for_tiles(x, w)(x, ALL)

    @in_float32
    def for_tiles(self, x: Tensor, w: Tensor) -> NormaliseTile:  # noqa: ARG002
        """The function that normalises one tile. In training mode, call it on the whole map only."""
        gamma, beta = scale_and_shift(self.style, w)

        def normalise(values: Tensor, images: slice) -> Tensor:
            normal = self.norm(values.reshape(-1, values.shape[-1])).view(values.shape)
            return torch.addcmul(beta[images], normal, gamma[images])

        return normalise


class LayerNorm(nn.Module):
    """Swin's layer norm, with the interface of the adaptive norms. It does not use w.

    Args:
        channels: Channels of x.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # noqa: ARG002
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`."""
        out: Tensor = self.norm(x)
        return out

    def for_tiles(self, x: Tensor, w: Tensor) -> NormaliseTile:  # noqa: ARG002
        """The function that normalises one tile."""
        return lambda values, images: self.norm(values)  # noqa: ARG005

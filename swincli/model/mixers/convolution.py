"""Token mixers by depthwise convolution: ConvNeXt's 7x7, the same and a 1x1, MetaFormer's separable convolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.mixers.depthwise_kernel import centred_kernel
from swincli.ops.depthwise import Halo, Padding, depthwise, halos
from swincli.ops.instance_norm import NormaliseTile
from swincli.recipe.schema import ModelSection

SIDE = 7
REACH = SIDE // 2

MAPS = 4
"""Values per channel and position that the work on a tile of `DepthwiseMixer` takes, with the halo. Larger tiles are no
faster: they leave the cache."""


class Depthwise(nn.Module):
    """A depthwise 7x7 convolution. A kernel starts as a 1 in its centre plus a truncated normal of std 0.02.

    Args:
        channels: Channels in and out.
        bias: Whether to add a bias, which starts at 0.
        padding: What kernels see beyond the border.
    """

    def __init__(self, channels: int, *, bias: bool = True, padding: Padding = "zeros") -> None:
        super().__init__()
        self.weight = nn.Parameter(centred_kernel(channels, SIDE))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        return depthwise(x, self.weight, self.bias, self.padding)

    def tile(self, values: Tensor, halo: Halo) -> Tensor:
        """`forward` of a tile: values with their halo to those of the tile."""
        return halo.convolve(values, self.weight, self.bias)


class DepthwiseMixer(nn.Module):
    """`dw7`: the depthwise part of a ConvNeXt block (Liu et al., 2022); `dw7+1x1` adds a linear layer of the channels.

    Args:
        channels: Channels in and out.
        pointwise: Whether to add the linear layer.
        padding: What kernels see beyond the border.
    """

    def __init__(self, channels: int, *, pointwise: bool = False, padding: Padding = "zeros") -> None:
        super().__init__()
        self.depthwise = Depthwise(channels, padding=padding)
        self.proj = nn.Linear(channels, channels) if pointwise else None

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        mixed: Tensor = self.depthwise(x)
        return mixed if self.proj is None else self.proj(mixed)

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`out = x + forward(normalise(x))`, tile by tile and without autograd."""
        for halo in halos(x, MAPS * x.shape[-1], REACH, self.depthwise.padding):
            mixed = self.depthwise.tile(normalise(halo.read(x), halo.tile.images), halo)
            mixed = mixed if self.proj is None else self.proj(mixed)
            torch.add(halo.tile.read(x), mixed, out=halo.tile.read(out))


class SeparableMixer(nn.Module):
    """`sepconv`: a linear layer to 2 C, GELU, a depthwise 7x7 and a linear layer back (MetaFormer; Yu et al., 2022).

    It has no biases. The source has StarReLU in place of GELU, which is what the rest of the generator has.

    Args:
        channels: Channels in and out.
        padding: What kernels see beyond the border.
    """

    def __init__(self, channels: int, *, padding: Padding = "zeros") -> None:
        super().__init__()
        self.expand = nn.Linear(channels, 2 * channels, bias=False)
        self.depthwise = Depthwise(2 * channels, bias=False, padding=padding)
        self.contract = nn.Linear(2 * channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        out: Tensor = self.contract(self.depthwise(F.gelu(self.expand(x))))
        return out

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`out = x + forward(normalise(x))`, tile by tile and without autograd."""
        for halo in halos(x, self.expand.out_features, REACH, self.depthwise.padding):
            inner = F.gelu(self.expand(normalise(halo.read(x), halo.tile.images)))
            mixed = self.contract(self.depthwise.tile(inner, halo))
            torch.add(halo.tile.read(x), mixed, out=halo.tile.read(out))


def dw7(config: ModelSection, resolution: int, channels: int, index: int) -> nn.Module:  # noqa: ARG001
    """`dw7` by the recipe."""
    return DepthwiseMixer(channels, padding=config.mixer_padding)


def dw7_pointwise(config: ModelSection, resolution: int, channels: int, index: int) -> nn.Module:  # noqa: ARG001
    """`dw7+1x1` by the recipe."""
    return DepthwiseMixer(channels, pointwise=True, padding=config.mixer_padding)


def sepconv(config: ModelSection, resolution: int, channels: int, index: int) -> nn.Module:  # noqa: ARG001
    """`sepconv` by the recipe."""
    return SeparableMixer(channels, padding=config.mixer_padding)


def of_dw7(config: ModelSection, resolution: int) -> int:
    """Multiply-adds of `dw7` for one image."""
    return resolution**2 * SIDE**2 * config.width_at(resolution)


def of_dw7_pointwise(config: ModelSection, resolution: int) -> int:
    """Multiply-adds of `dw7+1x1` for one image."""
    return of_dw7(config, resolution) + resolution**2 * config.width_at(resolution) ** 2


def of_sepconv(config: ModelSection, resolution: int) -> int:
    """Multiply-adds of `sepconv` for one image."""
    return 2 * of_dw7(config, resolution) + resolution**2 * 4 * config.width_at(resolution) ** 2

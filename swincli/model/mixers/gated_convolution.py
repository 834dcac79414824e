"""Recursive gated convolution, gnConv (HorNet; Rao et al., 2022): products of features with a 7x7 neighbourhood."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.mixers.convolution import REACH, SIDE, Depthwise
from swincli.ops.depthwise import Padding, halos
from swincli.ops.instance_norm import NormaliseTile
from swincli.ops.precision import in_float32
from swincli.recipe.schema import ModelSection


class FanInLinear(nn.Module):
    """A linear layer that starts with variance 1 / inputs, so that it keeps the variance of its input.

    Args:
        inputs: Channels in.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(outputs, inputs), std=inputs**-0.5))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """`[..., inputs] -> [..., outputs]`, or only the outputs from `first` up to `last`."""
        return F.linear(x, self.weight[first:last], self.bias[first:last])


@in_float32
def _product(x: Tensor, gate: Tensor) -> Tensor:
    """In float32 under autocast: the products of several factors have large maxima."""
    return x * gate


class GatedConvolution(nn.Module):
    """`gnconv2`, `gnconv3`: gnConv of order 2 or 3; order 1 is a gated convolution.

    A linear layer makes C / 2^(n-1) features p and gates for widths C / 2^(n-1), ..., C / 2, C. The gates pass a
    depthwise 7x7. Then `p = p * gate_1` and `p = linear(p) * gate_i` for i = 2 ... n, and a last linear layer. Without
    biases the result is homogeneous of degree n + 1.

    The source's start, weights of std 0.02 and gates times 1/3, gives products of 1e-5 and less here. So the inner
    linear layers keep the variance, and kernels start as a 1 in their centre. The last layer starts with std 0.02, as
    all last layers of branches do.

    Args:
        channels: Channels in and out, a multiple of 2^(order - 1).
        order: n, the number of products.
        padding: What kernels see beyond the border.
    """

    def __init__(self, channels: int, order: int, *, padding: Padding = "zeros") -> None:
        super().__init__()
        self.widths = _widths(channels, order)
        self.expand = FanInLinear(channels, 2 * channels)
        self.depthwise = Depthwise(sum(self.widths), padding=padding)
        self.widen = nn.ModuleList(FanInLinear(width, 2 * width) for width in self.widths[:-1])
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        return self._gated(x, self.depthwise(self._gates(x)))

    def _gates(self, x: Tensor) -> Tensor:
        gates: Tensor = self.expand(x, first=self.widths[0])
        return gates

    def _gated(self, x: Tensor, gates: Tensor) -> Tensor:
        first, *others = gates.split(self.widths, dim=-1)
        product = _product(self.expand(x, last=self.widths[0]), first)
        for layer, gate in zip(self.widen, others, strict=True):
            product = _product(layer(product), gate)
        out: Tensor = self.proj(product)
        return out

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`out = x + forward(normalise(x))`, tile by tile and without autograd."""
        for halo in halos(x, 2 * x.shape[-1], REACH, self.depthwise.padding):
            normal = normalise(halo.read(x), halo.tile.images)
            gates = self.depthwise.tile(self._gates(normal), halo)
            torch.add(halo.tile.read(x), self._gated(halo.inside(normal), gates), out=halo.tile.read(out))


def _widths(channels: int, order: int) -> list[int]:
    """Channels of the gates, `C / 2^(n-1), ..., C`."""
    return [channels >> steps for steps in reversed(range(order))]


def build_of(order: int) -> Callable[[ModelSection, int, int, int], nn.Module]:
    """gnConv of an order by the recipe."""

    def build(config: ModelSection, resolution: int, channels: int, index: int) -> nn.Module:  # noqa: ARG001
        return GatedConvolution(channels, order, padding=config.mixer_padding)

    return build


def multiply_adds_of(order: int) -> Callable[[ModelSection, int], int]:
    """Multiply-adds of gnConv of an order for one image."""

    def multiply_adds(config: ModelSection, resolution: int) -> int:
        channels = config.width_at(resolution)
        widths = _widths(channels, order)
        linear = 3 * channels**2 + sum(2 * width**2 for width in widths[:-1])
        return resolution**2 * (linear + SIDE**2 * sum(widths))

    return multiply_adds

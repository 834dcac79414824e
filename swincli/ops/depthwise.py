"""Depthwise convolution of channels-last maps `[B, H, W, C]`: every channel with a kernel of its own, stride 1.

The maps are never copied to another layout: a permuted view of them is what a channels-last convolution takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops import second_gradients
from swincli.ops.cpu_tiles import Tile, save_less, tiles, use_tiles
from swincli.ops.precision import as_autocast

Padding = Literal["zeros", "reflect", "circular"]
"""What a kernel sees beyond the border: zeros, the map mirrored at its first row or column, or its other side."""

GRADIENT_ROWS = 4
"""Rows of a tile of the kernels' gradient."""


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Padding = "zeros") -> Tensor:
    """`[B, H, W, C] -> [B, H, W, C]`.

    Args:
        x: Features.
        weight: A kernel a channel, `[C, 1, k, k]`, k odd.
        bias: `[C]`, or None.
        padding: See `Padding`.
    """
    if (torch.is_grad_enabled() and use_tiles(x)) or save_less(x):
        values = (x, weight) if bias is None else (x, weight, bias)
        out: Tensor = _Depthwise.apply(padding, *as_autocast(*values))  # type: ignore[no-untyped-call]
        return out
    return _plain(x, weight, bias, padding)


def _plain(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Padding) -> Tensor:
    reach = weight.shape[-1] // 2
    return _convolve(_padded(x, reach, padding), weight, bias, reach if padding == "zeros" else 0)


def _padded(x: Tensor, reach: int, padding: Padding) -> Tensor:
    """x with `reach` rows and columns more on each side; as it is for zeros, which the convolution adds."""
    if padding == "zeros":
        return x
    return F.pad(x.permute(0, 3, 1, 2), 4 * [reach], mode=padding).permute(0, 2, 3, 1)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, zeros: int | tuple[int, int]) -> Tensor:
    """The convolution of `[B, H, W, C]` with `zeros` rows and columns of zeros around it."""
    return F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=zeros, groups=len(weight)).permute(0, 2, 3, 1)


class Halo(NamedTuple):
    """A tile with the rows around it that a kernel reaches.

    Attributes:
        tile: The tile.
        rows: Rows of the map that the kernel reads: a slice, or their indices where they wrap or are mirrored.
        above, below: Rows that are missing above and below, with padding by zeros.
        reach: Rows and columns that a kernel reaches on each side of its centre.
        padding: See `Padding`.
    """

    tile: Tile
    rows: slice | Tensor
    above: int
    below: int
    reach: int
    padding: Padding

    def read(self, x: Tensor) -> Tensor:
        """The tile of `[B, H, W, C]` with its halo, without missing rows: a view, or a copy at the border."""
        return x[self.tile.images, self.rows]

    def inside(self, values: Tensor) -> Tensor:
        """The rows of the tile itself of what was read."""
        return values[:, self.reach - self.above :][:, : self.tile.rows.stop - self.tile.rows.start]

    def convolve(self, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Depthwise convolution of what was read: `[b, rows and halo, W, C] -> [b, rows, W, C]`."""
        if self.padding != "zeros":
            columns = F.pad(values.permute(0, 3, 1, 2), (self.reach, self.reach, 0, 0), mode=self.padding)
            return _convolve(columns.permute(0, 2, 3, 1), weight, bias, 0)
        missing = self.above
        if self.above != self.below:
            values, missing = F.pad(values, (0, 0, 0, 0, self.above, self.below)), 0
        return _convolve(values, weight, bias, (missing, self.reach))


def with_halo(tile: Tile, height: int, reach: int, padding: Padding) -> Halo:
    """A tile of a map of `height` rows with its halo."""
    first, last = tile.rows.start - reach, tile.rows.stop + reach
    above, below = max(-first, 0), max(last - height, 0)
    if padding == "zeros" or above == below == 0:
        return Halo(tile, slice(first + above, last - below), above, below, reach, padding)
    rows = torch.arange(first, last)
    mirrored = (height - 1) - ((height - 1) - rows.abs()).abs()
    return Halo(tile, rows % height if padding == "circular" else mirrored, 0, 0, reach, padding)


def halos(x: Tensor, channels: int, reach: int, padding: Padding = "zeros") -> Iterator[Halo]:
    """Divide `[B, H, W, C]` into tiles with halos.

    Args:
        x: The map.
        channels: Values per position of the largest intermediate result.
        reach: Rows that a kernel reaches above and below its centre.
        padding: See `Padding`.
    """
    return (with_halo(tile, x.shape[1], reach, padding) for tile in tiles(x, channels))


class _Depthwise(torch.autograd.Function):
    """Depthwise convolution that saves nothing but its input, contiguous, and has a fast gradient on a CPU.

    The gradient of x is a depthwise convolution again, with mirrored kernels. That of the kernels is one with tiles of
    the result's gradient as kernels: on one core 2.5 to 5 times as long as a copy of the map takes, where the
    convolution's own gradient of depthwise kernels takes 19 to 32 (1024 x 1024 x 32 to 256 x 256 x 128, oneDNN 3.10,
    AVX2).
    """

    @staticmethod
    def forward(ctx: Any, padding: Padding, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        ctx.padding, ctx.tiled = padding, use_tiles(x)
        ctx.save_for_backward(x, weight, bias)
        return _plain(x, weight, bias, padding)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        (grad,) = grad_outputs
        if second_gradients.is_wanted():
            of_inputs = second_gradients.plain_gradients(
                lambda x, weight, bias: _plain(x, weight, bias, ctx.padding), (x, weight, bias), grad
            )
            return None, *of_inputs[: len(ctx.needs_input_grad) - 1]
        _, to_x, to_weight, *to_bias = ctx.needs_input_grad
        gradients = _gradients_in_tiles if ctx.tiled else _gradients_whole
        grad_x, grad_weight = gradients(x, weight, grad, ctx.padding, (to_x, to_weight))
        return None, grad_x, grad_weight, *(grad.sum(dim=(0, 1, 2)) if wanted else None for wanted in to_bias)


def _gradients_whole(
    x: Tensor, weight: Tensor, grad: Tensor, padding: Padding, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of x and of the kernels, on whole maps."""
    reach, channels = weight.shape[-1] // 2, len(weight)
    zeros = reach if padding == "zeros" else 0
    planes = (each.permute(0, 3, 1, 2) for each in (grad, _padded(x, reach, padding)))
    window = [channels], [1, 1], [zeros, zeros], [1, 1], False, [0, 0], channels
    grad_padded, grad_weight, _ = torch.ops.aten.convolution_backward(*planes, weight, *window, [*wanted, False])
    return _folded(grad_padded, x, reach, padding) if wanted[0] else None, grad_weight if wanted[1] else None


def _gradients_in_tiles(
    x: Tensor, weight: Tensor, grad: Tensor, padding: Padding, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The same on a CPU; see `_Depthwise`."""
    size = weight.shape[-1]
    grad_x = None
    if wanted[0]:
        zeros = size // 2 if padding == "zeros" else size - 1
        grad_x = _convolve(grad, weight.flip((2, 3)), None, zeros)
        grad_x = _folded(grad_x.permute(0, 3, 1, 2), x, size // 2, padding)
    return grad_x, _kernels_gradient(x, grad, size, padding) if wanted[1] else None


def _kernels_gradient(x: Tensor, grad: Tensor, size: int, padding: Padding) -> Tensor:
    """Gradient of the kernels, `[C, 1, k, k]`: x convolved with tiles of the result's gradient."""
    images, height, _, channels = x.shape
    out = x.new_zeros(1, size, size, channels)
    for image, top in itertools.product(range(images), range(0, height, GRADIENT_ROWS)):
        bottom = min(top + GRADIENT_ROWS, height)
        tile = Tile(slice(image, image + 1), slice(top, bottom), bottom == height)
        kernel = tile.read(grad)[0].permute(2, 0, 1)[:, None]
        halo = with_halo(tile, height, size // 2, padding)
        out += halo.convolve(halo.read(x), kernel, None)
    return out[0].permute(2, 0, 1)[:, None]


def _folded(grad_padded: Tensor, x: Tensor, reach: int, padding: Padding) -> Tensor:
    """The gradient of `[B, H, W, C]` by that of the padded map `[B, C, H', W']`: what was padded goes to its origin."""
    if padding == "zeros":
        return grad_padded.permute(0, 2, 3, 1)
    with torch.enable_grad():
        plain = torch.zeros_like(x).requires_grad_()
        planes = _padded(plain, reach, padding).permute(0, 3, 1, 2)
    (out,) = torch.autograd.grad(planes, plain, grad_padded)
    return out

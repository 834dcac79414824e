"""Depthwise convolution of channels-last maps with zero padding and a stride, also tile by tile."""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops import second_gradients
from swincli.ops.cpu_tiles import Tile, save_less, tiles, use_tiles
from swincli.ops.instance_norm import NormaliseTile
from swincli.ops.precision import as_autocast


def strided_depthwise(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """`[B, H, W, C] -> [B, H / stride, W / stride, C]`; result (i, j) is centred at (stride i, stride j).

    Args:
        x: Features; H and W are multiples of `stride`.
        kernel: One odd square kernel a channel, `[C, 1, k, k]`.
        stride: Step between results.
    """
    if (torch.is_grad_enabled() and use_tiles(x)) or save_less(x):
        out: Tensor = _StridedDepthwise.apply(*as_autocast(x, kernel), stride)  # type: ignore[no-untyped-call]
        return out
    return _plain(x, kernel, stride)


def _plain(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    reach = kernel.shape[-1] // 2
    return F.conv2d(x.permute(0, 3, 1, 2), kernel, None, stride, reach, groups=len(kernel)).permute(0, 2, 3, 1)


class _StridedDepthwise(torch.autograd.Function):
    """It saves its input as it is, contiguous, and has a gradient of its own on a CPU, where PyTorch's is slow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int) -> Tensor:
        ctx.stride, ctx.tiled = stride, use_tiles(x)
        ctx.save_for_backward(x, kernel)
        return _plain(x, kernel, stride)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        (grad,) = grad_outputs
        if second_gradients.is_wanted():
            found = second_gradients.plain_gradients(lambda x, kernel: _plain(x, kernel, ctx.stride), (x, kernel), grad)
            return *found, None
        gradients = _gradients_in_tiles if ctx.tiled else _gradients_whole
        return *gradients(x, kernel, grad, ctx.stride), None


def _gradients_whole(x: Tensor, kernel: Tensor, grad: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Gradients of x and of the kernels."""
    planes = (each.permute(0, 3, 1, 2) for each in (grad, x))
    reach, groups = kernel.shape[-1] // 2, len(kernel)
    settings = None, [stride] * 2, [reach] * 2, [1, 1], False, [0, 0], groups, [True, True, False]
    of_planes, of_kernel, _ = torch.ops.aten.convolution_backward(*planes, kernel, *settings)
    return of_planes.permute(0, 2, 3, 1), of_kernel


def _gradients_in_tiles(x: Tensor, kernel: Tensor, grad: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The same, tap by tap: each is a product with every `stride`-th position of x."""
    reach = kernel.shape[-1] // 2
    taps = kernel.flatten(1).t().contiguous()  # [k², C]
    of_x, of_taps = torch.zeros_like(x), torch.zeros_like(taps)
    for tile in tiles(grad, stride**2 * x.shape[-1]):
        for number, (down, across) in enumerate(itertools.product(range(-reach, reach + 1), repeat=2)):
            results, rows = _inside(tile.rows, down, x.shape[1], stride)
            others, columns = _inside(slice(0, grad.shape[2]), across, x.shape[2], stride)
            piece, place = grad[tile.images, results, others], (tile.images, rows, columns)
            of_taps[number] += (piece * x[place]).sum(dim=(0, 1, 2))
            of_x[place] += piece * taps[number]
    return of_x, of_taps.t().reshape(kernel.shape)


def _inside(results: slice, offset: int, length: int, stride: int) -> tuple[slice, slice]:
    """Of some results along an axis, those whose tap at this offset is inside the map, and the positions of the tap."""
    first = max(results.start, -(offset // stride))
    count = max(0, min(results.stop, (length - 1 - offset) // stride + 1) - first)
    start = stride * first + offset
    return slice(first, first + count), slice(start, start + stride * count, stride)


def depthwise_rows(x: Tensor, normalise: NormaliseTile, tile: Tile, kernel: Tensor, stride: int) -> Tensor:
    """The rows of `strided_depthwise(normalise(x))` that a tile of its result has, `[b, rows, W / stride, C]`.

    Args:
        x: The map before the norm, `[B, H, W, C]`.
        normalise: Normalises one tile of x.
        tile: The images and the rows of the result.
        kernel, stride: As for `strided_depthwise`.
    """
    reach, height = kernel.shape[-1] // 2, x.shape[1]
    first, last = stride * tile.rows.start - reach, stride * (tile.rows.stop - 1) + reach + 1
    inside = x[tile.images, max(first, 0) : min(last, height)]
    padded = F.pad(normalise(inside, tile.images), (0, 0, 0, 0, max(-first, 0), max(last - height, 0)))
    out = F.conv2d(padded.permute(0, 3, 1, 2), kernel, None, stride, (0, reach), groups=len(kernel))
    return out.permute(0, 2, 3, 1)


def depthwise_tiled(x: Tensor, normalise: NormaliseTile, kernel: Tensor, stride: int) -> Tensor:
    """`strided_depthwise(normalise(x))` in tiles, without autograd; only the result has the size of a map."""
    batch, height, width, channels = x.shape
    out = torch.empty(batch, height // stride, width // stride, channels, dtype=x.dtype, device=x.device)
    for tile in tiles(out, stride**2 * channels):
        tile.write(out, depthwise_rows(x, normalise, tile, kernel, stride))
    return out

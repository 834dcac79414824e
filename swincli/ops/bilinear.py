"""Bilinear sampling of images at given places, differentiable any number of times with respect to the images.

Sampling is linear in the images. So its gradient is the transposed operation, which spreads values over the pixels, and
the gradient of that is sampling again. PyTorch's own `grid_sample` has no second derivative.

The operation is deterministic on every device: a CPU's kernel adds in a fixed order, and elsewhere the transposed
operation is an `index_put_` that sorts before it adds. The kernel of CUDA adds in any order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

_BILINEAR, _ZEROS = 0, 0  # of aten's grid sampler


def sample_bilinear(images: Tensor, grid: Tensor) -> Tensor:
    """Values of images at places between their pixels; 0 outside.

    Args:
        images: `[B, C, H, W]`.
        grid: Places (x, y), `[B, h, w, 2]`; -1 and 1 are the outer edges of the first and last pixel. Without gradient.

    Returns:
        `[B, C, h, w]`.
    """
    out: Tensor = _Sample.apply(images, grid)  # type: ignore[no-untyped-call]
    return out


def spread_bilinear(values: Tensor, grid: Tensor, height: int, width: int) -> Tensor:
    """The transposed operation: add each value to the four pixels around its place, by their weights.

    Args:
        values: `[B, C, h, w]`.
        grid: Places as in `sample_bilinear`.
        height, width: Size of the result.

    Returns:
        `[B, C, height, width]`.
    """
    out: Tensor = _Spread.apply(values, grid, height, width)  # type: ignore[no-untyped-call]
    return out


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(images: Tensor, grid: Tensor) -> Tensor:
        out: Tensor = torch.ops.aten.grid_sampler_2d(images, grid, _BILINEAR, _ZEROS, False)
        return out

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        images, grid = inputs
        ctx.save_for_backward(grid)
        ctx.size = images.shape[2:]  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (grid,) = ctx.saved_tensors
        return spread_bilinear(grad_outputs[0], grid, *ctx.size), None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(values: Tensor, grid: Tensor, height: int, width: int) -> Tensor:
        spread = _spread_on_cpu if values.device.type == "cpu" else spread_sorted
        return spread(values, grid, height, width)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (grid,) = ctx.saved_tensors
        return sample_bilinear(grad_outputs[0], grid), None, None, None


def _spread_on_cpu(values: Tensor, grid: Tensor, height: int, width: int) -> Tensor:
    like = values.new_zeros(1).expand(*values.shape[:2], height, width)  # only its shape is used
    backward = torch.ops.aten.grid_sampler_2d_backward
    out: Tensor = backward(values.contiguous(), like, grid, _BILINEAR, _ZEROS, False, [True, False])[0]
    return out


def spread_sorted(values: Tensor, grid: Tensor, height: int, width: int) -> Tensor:
    """`spread_bilinear` by one `index_put_`, for any device; on CUDA it sorts the pixels before it adds."""
    count, channels = values.shape[:2]
    x, y = ((grid[..., axis] + 1) * side / 2 - 0.5 for axis, side in ((0, width), (1, height)))
    left, top = x.floor(), y.floor()
    places, shares = [], []
    for column, across in ((left, left + 1 - x), (left + 1, x - left)):
        for row, down in ((top, top + 1 - y), (top + 1, y - top)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            places.append((row * width + column).where(inside, 0).long().flatten(1))
            shares.append((across * down * inside).flatten(1))
    place, share = torch.cat(places, dim=1), torch.cat(shares, dim=1)  # [B, 4 h w]
    added = values.flatten(2).repeat(1, 1, 4) * share[:, None]
    image = torch.arange(count, device=values.device)[:, None]
    out = values.new_zeros(count, height * width, channels)
    out.index_put_((image, place), added.transpose(1, 2), accumulate=True)
    return out.transpose(1, 2).reshape(count, channels, height, width)

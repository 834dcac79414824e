"""Adaptive instance normalisation, AdaIN (Huang and Belongie, 2017), of channels-last maps `[B, H, W, C]`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from swincli.ops import second_gradients
from swincli.ops.cpu_tiles import on_gpu_path, tiles, use_tiles

EPS = 1e-5

NormaliseTile = Callable[[Tensor, slice], Tensor]
"""Normalises one tile: takes its values `[b, ..., C]` and the slice of the batch that they come from."""


def var_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """Biased variance and mean of every channel over the positions: `[B, H, W, C] -> 2 of [B, 1, 1, C]`.

    On a CPU, `torch.var_mean` over positions takes ten times as long as reading the map; tiles avoid that.
    """
    if not use_tiles(x):
        return _plain_var_mean(x)
    mean = x.mean(dim=(1, 2), keepdim=True)
    squares = torch.zeros_like(mean)
    for tile in tiles(x, x.shape[-1]):
        centred = tile.read(x) - mean[tile.images]
        squares[tile.images] += centred.square_().sum(dim=(1, 2), keepdim=True)
    return squares / (x.shape[1] * x.shape[2]), mean


def _plain_var_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.var_mean(x, dim=(1, 2), correction=0, keepdim=True)


def tiled_instance_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> NormaliseTile:
    """Take the statistics of the whole x, `[B, H, W, C]`, and return the function that normalises one tile of it.

    Args:
        x: The map.
        gamma, beta: Scale and shift after the normalisation, `[B, 1, 1, C]`.
    """
    variance, mean = var_mean(x)
    scale = gamma * torch.rsqrt(variance + EPS)
    shift = torch.addcmul(beta, mean, scale, value=-1) if on_gpu_path(x) else beta - mean * scale
    return lambda values, images: torch.addcmul(shift[images], values, scale[images])


def instance_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """`gamma * (x - mean) / sqrt(variance + 1e-5) + beta`: `[B, H, W, C], 2 of [B, 1, 1, C] -> [B, H, W, C]`."""
    return instance_norm_with_remake(x, gamma, beta)[0]


def instance_norm_with_remake(x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
    """The result of `instance_norm`, and a function that makes it again, equal bit for bit, from known statistics."""
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        out, scale, shift = _InstanceNorm.apply(x, gamma, beta)  # type: ignore[no-untyped-call]
        return out, lambda: torch.addcmul(shift, x, scale)
    normalise = tiled_instance_norm(x, gamma, beta)
    return normalise(x, slice(None)), lambda: normalise(x, slice(None))


def _plain(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    variance, mean = _plain_var_mean(x)
    scale = gamma * torch.rsqrt(variance + EPS)
    return torch.addcmul(beta - mean * scale, x, scale)


class _InstanceNorm(torch.autograd.Function):
    """AdaIN with its gradient in closed form: few passes over the map, in tiles on a CPU; not for second gradients.

    It also returns the scale and the shift of every channel, which have no gradient: `out = scale * x + shift`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.tiled = use_tiles(x)
        variance, mean = var_mean(x)
        deviation = torch.rsqrt(variance + EPS)
        scale = gamma * deviation
        shift = beta - mean * scale if ctx.tiled else torch.addcmul(beta, mean, scale, value=-1)
        ctx.save_for_backward(x, gamma, beta, mean, deviation, scale)
        ctx.mark_non_differentiable(scale, shift)
        ctx.set_materialize_grads(False)
        return torch.addcmul(shift, x, scale), scale, shift

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, gamma, beta, mean, deviation, scale = ctx.saved_tensors
        grad = grad_outputs[0]
        if grad is None:  # only the scale or the shift was used
            return None, None, None
        if second_gradients.is_wanted():
            return second_gradients.plain_gradients(_plain, (x, gamma, beta), grad)
        backward = _backward_in_tiles if ctx.tiled else _backward_whole
        return backward(x, grad, mean, deviation, scale)


def _backward_in_tiles(
    x: Tensor, grad: Tensor, mean: Tensor, deviation: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, gamma and beta."""
    positions = x.shape[1] * x.shape[2]
    grad_beta = grad.sum(dim=(1, 2), keepdim=True)
    products = torch.zeros_like(mean)
    for tile in tiles(x, x.shape[-1]):
        centred = tile.read(x) - mean[tile.images]
        products[tile.images] += centred.mul_(tile.read(grad)).sum(dim=(1, 2), keepdim=True)
    grad_gamma = products * deviation
    slope = -scale * deviation * grad_gamma / positions
    offset = -scale * grad_beta / positions - slope * mean
    grad_x = torch.empty_like(x)
    for tile in tiles(x, x.shape[-1]):
        through_x = torch.addcmul(offset[tile.images], tile.read(x), slope[tile.images])
        tile.write(grad_x, through_x.addcmul_(tile.read(grad), scale[tile.images]))
    return grad_x, grad_gamma, grad_beta


def _backward_whole(
    x: Tensor, grad: Tensor, mean: Tensor, deviation: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same on whole maps, in the fewest operations: a GPU pays for each.

    With c = x - mean: `grad_x = scale * (grad - mean(grad) - c * deviation² * mean(c * grad))`.
    """
    positions = x.shape[1] * x.shape[2]
    centred = x - mean
    grad_beta = grad.sum(dim=(1, 2), keepdim=True)
    grad_gamma = (centred * grad).sum(dim=(1, 2), keepdim=True).mul_(deviation)
    grad_x = torch.addcmul(grad, centred, grad_gamma * deviation, value=-1 / positions)
    return grad_x.sub_(grad_beta, alpha=1 / positions).mul_(scale), grad_gamma, grad_beta

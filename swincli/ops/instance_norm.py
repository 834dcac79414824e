"""Adaptive instance normalisation, AdaIN (Huang and Belongie, 2017), of channels-last maps `[B, H, W, C]`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from swincli.ops import second_gradients
from swincli.ops.constants import cached_constant
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


@cached_constant
def _number(value: float, *, device: torch.device | None = None) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, device=device)


def _deviation_and_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """`sqrt(variance + 1e-5)` and mean of every channel, as `var_mean` has them, in two operations for a GPU."""
    deviation, mean = torch.std_mean(x, dim=(1, 2), correction=0, keepdim=True)
    return torch.hypot(deviation, _number(EPS**0.5, device=x.device, dtype=x.dtype)), mean


def _scale_and_shift(mean: Tensor, deviation: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift of every channel: the norm is `scale * x + shift`."""
    scale = gamma / deviation
    return scale, torch.addcmul(beta, mean, scale, value=-1)


def tiled_instance_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> NormaliseTile:
    """Take the statistics of the whole x, `[B, H, W, C]`, and return the function that normalises one tile of it.

    Args:
        x: The map.
        gamma, beta: Scale and shift after the normalisation, `[B, 1, 1, C]`.
    """
    if on_gpu_path(x) and not torch.compiler.is_compiling():
        deviation, mean = _deviation_and_mean(x)
        scale, shift = _scale_and_shift(mean, deviation, gamma, beta)
    else:
        variance, mean = var_mean(x)
        scale = gamma * torch.rsqrt(variance + EPS)
        shift = beta - mean * scale
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
        if ctx.tiled:  # spread is the inverse of the standard deviation there, and else the deviation
            variance, mean = var_mean(x)
            spread = torch.rsqrt(variance + EPS)
            scale = gamma * spread
            shift = beta - mean * scale
        else:
            spread, mean = _deviation_and_mean(x)
            scale, shift = _scale_and_shift(mean, spread, gamma, beta)
        ctx.save_for_backward(x, gamma, beta, mean, spread, scale)
        ctx.mark_non_differentiable(scale, shift)
        ctx.set_materialize_grads(False)
        return torch.addcmul(shift, x, scale), scale, shift

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, gamma, beta, mean, spread, scale = ctx.saved_tensors
        grad = grad_outputs[0]
        if grad is None:  # only the scale or the shift was used
            return None, None, None
        if second_gradients.is_wanted():
            return second_gradients.plain_gradients(_plain, (x, gamma, beta), grad)
        backward = _backward_in_tiles if ctx.tiled else _backward_whole
        return backward(x, grad, mean, spread, scale)


def _backward_in_tiles(
    x: Tensor, grad: Tensor, mean: Tensor, inverse: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, gamma and beta; `inverse` is one over the standard deviation."""
    positions = x.shape[1] * x.shape[2]
    grad_beta = grad.sum(dim=(1, 2), keepdim=True)
    products = torch.zeros_like(mean)
    for tile in tiles(x, x.shape[-1]):
        centred = tile.read(x) - mean[tile.images]
        products[tile.images] += centred.mul_(tile.read(grad)).sum(dim=(1, 2), keepdim=True)
    grad_gamma = products * inverse
    slope = -scale * inverse * grad_gamma / positions
    offset = -scale * grad_beta / positions - slope * mean
    grad_x = torch.empty_like(x)
    for tile in tiles(x, x.shape[-1]):
        through_x = torch.addcmul(offset[tile.images], tile.read(x), slope[tile.images])
        tile.write(grad_x, through_x.addcmul_(tile.read(grad), scale[tile.images]))
    return grad_x, grad_gamma, grad_beta


def _backward_whole(
    x: Tensor, grad: Tensor, mean: Tensor, deviation: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same on whole maps, in the fewest operations: a GPU pays for each. `deviation` is the standard deviation.

    With the normalised map n: `grad_x = scale * (grad - mean(grad) - n * mean(n * grad))`. Products of two statistics
    are added to a zero, because that operation takes a factor too.
    """
    zero, share = _number(0.0, device=x.device, dtype=x.dtype), -1 / (x.shape[1] * x.shape[2])
    normal = torch.addcdiv(torch.addcdiv(zero, mean, deviation, value=-1), x, deviation)
    grad_beta = grad.sum(dim=(1, 2), keepdim=True)
    grad_gamma = (normal * grad).sum(dim=(1, 2), keepdim=True)
    grad_x = torch.addcmul(grad, normal, grad_gamma, value=share)
    offset = torch.addcmul(zero, scale, grad_beta, value=share)
    return torch.addcmul(offset, grad_x, scale), grad_gamma, grad_beta

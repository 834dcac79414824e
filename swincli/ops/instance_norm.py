"""Adaptive instance normalisation (Huang and Belongie, 2017) of maps whose channels lie last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from swincli.ops.cpu_tiles import is_due, parts

EPS = 1e-5

Normalise = Callable[[Tensor, slice], Tensor]
"""Normalises any positions `[b, ..., C]` of some images of a map."""


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Biased variance and mean of every channel over the positions: `[B, H, W, C] -> 2 of [B, 1, 1, C]`.

    PyTorch's own, over positions, is an order of magnitude slower on a CPU than reading the map.
    """
    if not is_due(x):
        return torch.var_mean(x, dim=(1, 2), correction=0, keepdim=True)
    mean = x.mean(dim=(1, 2), keepdim=True)
    squares = torch.zeros_like(mean)
    for part in parts(x, x.shape[-1]):
        centred = part.of(x) - mean[part.images]
        squares[part.images] += centred.square_().sum(dim=(1, 2), keepdim=True)
    return squares / (x.shape[1] * x.shape[2]), mean


def instance_norm_of(x: Tensor, gamma: Tensor, beta: Tensor) -> Normalise:
    """The normalisation of x, `[B, H, W, C]`, to be applied to any positions of some of its images.

    Args:
        x: What the mean and the variance are taken of.
        gamma, beta: Scale and shift that follow, `[B, 1, 1, C]`.
    """
    variance, mean = moments(x)
    scale = gamma * torch.rsqrt(variance + EPS)
    shift = beta - mean * scale
    return lambda values, images: torch.addcmul(shift[images], values, scale[images])


def instance_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """`gamma * (x - mean) / sqrt(variance + 1e-5) + beta`: `[B, H, W, C], 2 of [B, 1, 1, C] -> [B, H, W, C]`."""
    if is_due(x) and torch.is_grad_enabled():
        out: Tensor = _InstanceNorm.apply(x, gamma, beta)  # type: ignore[no-untyped-call]
        return out
    return instance_norm_of(x, gamma, beta)(x, slice(None))


class _InstanceNorm(torch.autograd.Function):
    """With the gradient in closed form: three passes over the map instead of ten."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        variance, mean = moments(x)
        deviation = torch.rsqrt(variance + EPS)
        scale = gamma * deviation
        ctx.save_for_backward(x, mean, deviation, scale)
        return torch.addcmul(beta - mean * scale, x, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, mean, deviation, scale = ctx.saved_tensors
        (grad,) = grad_outputs
        positions = x.shape[1] * x.shape[2]
        for_beta = grad.sum(dim=(1, 2), keepdim=True)
        products = torch.zeros_like(mean)
        for part in parts(x, x.shape[-1]):
            centred = part.of(x) - mean[part.images]
            products[part.images] += centred.mul_(part.of(grad)).sum(dim=(1, 2), keepdim=True)
        for_gamma = products * deviation
        slope = -scale * deviation * for_gamma / positions
        offset = -scale * for_beta / positions - slope * mean
        for_x = torch.empty_like(x)
        for part in parts(x, x.shape[-1]):
            through_x = torch.addcmul(offset[part.images], part.of(x), slope[part.images])
            part.put(for_x, through_x.addcmul_(part.of(grad), scale[part.images]))
        return for_x, for_gamma, for_beta

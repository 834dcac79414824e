"""Pixel ranges: uint8 images `[B, H, W, 3]` to and from the networks' range, float `[B, 3, H, W]` with mean and std."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from swincli.ops.constants import cached_constant


@cached_constant
def channel_values(values: tuple[float, ...], *, device: torch.device | None = None) -> Tensor:
    """One number for each channel as a tensor that is built once, `[C]`; by default float64, which `dtype` changes."""
    return torch.tensor(values, dtype=torch.float64, device=device)


def to_network(pictures: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 `[B, H, W, 3]` -> float32 `[B, 3, H, W]`: `(x / 255 - mean) / std` per channel."""
    scale = _float32(tuple(1 / (255 * s) for s in std), pictures.device)
    shift = _float32(tuple(-m / s for m, s in zip(mean, std, strict=True)), pictures.device)
    return (pictures * scale + shift).permute(0, 3, 1, 2).contiguous()


def to_pictures(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """float `[B, 3, H, W]` in the network's range -> uint8 `[B, H, W, 3]`, rounded to the nearest and clipped."""
    scale = _float32(tuple(255 * s for s in std), images.device)
    shift = _float32(tuple(255 * m for m in mean), images.device)
    pixels = torch.addcmul(shift, images.float().permute(0, 2, 3, 1), scale)
    return pixels.round_().clamp_(0, 255).to(torch.uint8)


def to_signed(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """`[B, 3, H, W]` in the network's range -> in [-1, 1]; the same tensor if that is the network's range."""
    if _is_signed(mean, std):
        return images
    return (images * _like(std, images) + _like(mean, images)) * 2 - 1


def from_signed(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The reverse of `to_signed`."""
    if _is_signed(mean, std):
        return images
    return ((images + 1) / 2 - _like(mean, images)) / _like(std, images)


def _is_signed(mean: Sequence[float], std: Sequence[float]) -> bool:
    return tuple(mean) == tuple(std) == (0.5, 0.5, 0.5)


def _like(values: Sequence[float], images: Tensor) -> Tensor:
    return channel_values(tuple(values), device=images.device, dtype=images.dtype)[:, None, None]


def _float32(values: tuple[float, ...], device: torch.device) -> Tensor:
    return channel_values(values, device=device, dtype=torch.float32)

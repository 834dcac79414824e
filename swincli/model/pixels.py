"""Pixel ranges: uint8 images `[B, H, W, 3]` to and from the networks' range, float `[B, 3, H, W]` with mean and std."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_network(pictures: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 `[B, H, W, 3]` -> float32 `[B, 3, H, W]`: `(x / 255 - mean) / std` per channel."""
    scale = torch.tensor([1 / (255 * s) for s in std], device=pictures.device)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=pictures.device)
    return (pictures * scale + shift).permute(0, 3, 1, 2).contiguous()


def to_pictures(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """float `[B, 3, H, W]` in the network's range -> uint8 `[B, H, W, 3]`, rounded to the nearest and clipped."""
    scale = torch.tensor([255 * s for s in std], device=images.device)
    shift = torch.tensor([255 * m for m in mean], device=images.device)
    pixels = torch.addcmul(shift, images.float().permute(0, 2, 3, 1), scale)
    return pixels.round_().clamp_(0, 255).to(torch.uint8)

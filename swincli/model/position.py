"""Sinusoidal position encoding: where in the image a feature is (StyleSwin, section 3.3; Vaswani et al., 2017)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from swincli.ops.constant import constant


@constant
def sine_table(length: int, dim: int) -> Tensor:
    """Encoding of the positions 1 ... length: float32 `[length, dim]`, sines then cosines, dim even.

    The frequencies are `exp(-i ln(10000) / (dim / 2 - 1))` for i = 0 ... dim / 2 - 1.
    """
    half = dim // 2
    frequency = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10_000) / max(half - 1, 1)))
    angle = torch.arange(1, length + 1, dtype=torch.float32)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def add_position(x: Tensor, strength: Tensor) -> Tensor:
    """Add `strength` times the encoding to `[B, H, W, C]`: columns to the first half of the channels, rows to the rest.

    The two halves are added apart, so that no table grows with the area of the image.
    """
    _, height, width, channels = x.shape
    half = channels // 2
    columns = torch.nn.functional.pad(sine_table(width, half, device=x.device, dtype=x.dtype), (0, half))
    rows = torch.nn.functional.pad(sine_table(height, half, device=x.device, dtype=x.dtype), (half, 0))
    return x + strength * columns + (strength * rows)[:, None]

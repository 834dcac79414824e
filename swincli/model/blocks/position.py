"""Position encodings, added to the features after every upsampling: sinusoidal or learned.

The sinusoidal one (Vaswani et al., 2017) is StyleSwin's (section 3.1, "Local-global positional encoding"). The learned
one has the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.ops.constants import cached_constant
from swincli.ops.cpu_tiles import on_gpu_path

Builder = Callable[[int, int], nn.Module]

WHOLE_TABLE_BYTES = 2**21
"""On GPUs, encodings up to this size are a constant of every position, and are added in one operation."""


@cached_constant
def sine_table(length: int, dim: int, *, device: torch.device | None = None) -> Tensor:
    """Sinusoidal encoding of the positions 1 ... length: float32 `[length, dim]`, sines then cosines; dim is even.

    The frequencies are `exp(-i ln(10000) / (dim / 2 - 1))` for i = 0 ... dim / 2 - 1.
    """
    half = dim // 2
    frequency = torch.exp(
        torch.arange(half, dtype=torch.float32, device=device) * -(math.log(10_000) / max(half - 1, 1))
    )
    angle = torch.arange(1, length + 1, dtype=torch.float32, device=device)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


@cached_constant
def padded_sine_table(length: int, channels: int, second: bool, *, device: torch.device | None = None) -> Tensor:
    """`sine_table` in one half of the channels and zeros in the other: float32 `[length, C]`."""
    half = channels // 2
    return F.pad(sine_table(length, half, device=device), (half, 0) if second else (0, half))


@cached_constant
def whole_sine_table(height: int, width: int, channels: int, *, device: torch.device | None = None) -> Tensor:
    """The encoding of every position of a map: float32 `[H, W, C]`."""
    columns = padded_sine_table(width, channels, False, device=device)
    return columns + padded_sine_table(height, channels, True, device=device)[:, None]


def add_position(x: Tensor, strength: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Add `strength` times an encoding to `[B, H, W, C]`: columns to the first half of the channels, rows to the rest.

    The two halves are added one after the other, so that no table grows with the area of the image.

    Args:
        x: Features.
        strength: A scalar, `[1]`.
        columns: Encoding of the columns, `[W, C/2]`.
        rows: Encoding of the rows, `[H, C/2]`.
    """
    half = x.shape[-1] // 2
    return _add_padded(x, strength, F.pad(columns, (0, half)), F.pad(rows, (half, 0)))


def _add_padded(x: Tensor, strength: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """`add_position` of encodings with zeros for the other half of the channels, `[W, C]` and `[H, C]`."""
    if on_gpu_path(x):
        return torch.addcmul(x, strength, columns).addcmul_(strength, rows[:, None])
    x = x + strength * columns
    return x.add_((strength * rows)[:, None])


class SinusoidalPosition(nn.Module):
    """Sinusoidal position encoding of the column and the row."""

    def forward(self, x: Tensor, strength: Tensor) -> Tensor:
        """`[B, H, W, C], [1] -> [B, H, W, C]`."""
        _, height, width, channels = x.shape
        if on_gpu_path(x) and 4 * height * width * channels <= WHOLE_TABLE_BYTES:
            table = whole_sine_table(height, width, channels, device=x.device, dtype=x.dtype)
            return torch.addcmul(x, strength, table)
        columns = padded_sine_table(width, channels, False, device=x.device, dtype=x.dtype)
        rows = padded_sine_table(height, channels, True, device=x.device, dtype=x.dtype)
        return _add_padded(x, strength, columns, rows)


class LearnedPosition(nn.Module):
    """Learned position encoding: a vector for every column and one for every row, initialised as N(0, 1).

    Args:
        resolution: Side of the map.
        channels: Channels of the map, even.
    """

    def __init__(self, resolution: int, channels: int) -> None:
        super().__init__()
        self.columns = nn.Parameter(torch.randn(resolution, channels // 2))
        self.rows = nn.Parameter(torch.randn(resolution, channels // 2))

    def forward(self, x: Tensor, strength: Tensor) -> Tensor:
        """`[B, H, W, C], [1] -> [B, H, W, C]`."""
        return add_position(x, strength, self.columns, self.rows)


POSITIONS: dict[str, Builder | None] = {
    "spe": lambda resolution, channels: SinusoidalPosition(),  # noqa: ARG005
    "learned": LearnedPosition,
    "none": None,
}
"""Builders of position encodings, from the side and the channels of the map."""

"""Attention along the two axes with Manhattan decay (RMT: Fan et al., 2024): every pixel reaches its row and column.

First every row attends to itself, then every column attends to the results with the same queries and keys. The logits
fall with the distance, at a fixed rate for each head. A depthwise 5x5 convolution of the values is added.

Unlike RMT, queries and keys are rotated by their position on the axis that attends, not by their number in the map: a
number depends on the map's width. Blocks alternate between rows first and columns first, so that no axis is preferred.
The memory of the logits grows with H + W for every pixel: the mixer is for maps up to `LARGEST`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from swincli.model.mixers.depthwise_kernel import centred_kernel
from swincli.ops.constants import cached_constant
from swincli.ops.depthwise import depthwise
from swincli.ops.dot_product_attention import dot_product_attention
from swincli.recipe.networks import ModelSection

LARGEST = 64
"""Largest side of a map."""

KERNEL = 5

ROWS, COLUMNS = 1, 2  # the axis of [B, H, W, ...] that the lines are counted on
NEAREST_DECAY, DECAY_RANGE = 2.0, 4.0  # RMT's: a head's logits change by log(1 - 2^-(2 + 4 h / heads)) a pixel


@cached_constant
def axis_decay(heads: int, length: int, *, device: torch.device | None = None) -> Tensor:
    """Added to the logits of a line, `log(1 - 2^(-2 - 4 h / heads)) |i - j|`: float32 `[heads, length, length]`."""
    exponent = NEAREST_DECAY + DECAY_RANGE / heads * torch.arange(heads, device=device)
    place = torch.arange(length, device=device)
    return torch.log1p(-torch.exp2(-exponent))[:, None, None] * (place[:, None] - place).abs()


@cached_constant
def rotation(length: int, pairs: int, *, device: torch.device | None = None) -> Tensor:
    """Cosine and sine by which pairs of channels are turned at every position of a line: float32 `[2, length, pairs]`.

    The angle of pair i is `position / 10000^(i / (pairs - 1))` (RoPE: Su et al., 2021).
    """
    frequency = torch.exp(torch.arange(pairs, device=device) * -(math.log(10_000) / max(pairs - 1, 1)))
    angle = torch.arange(length, device=device)[:, None] * frequency
    return torch.stack([angle.cos(), angle.sin()])


def rotated(x: Tensor) -> Tensor:
    """Turn channels i and i + d // 2 of every position of lines `[N, h, length, d]`; an odd last channel stays."""
    pairs = x.shape[-1] // 2
    cosine, sine = rotation(x.shape[2], pairs, device=x.device, dtype=x.dtype).unbind(0)
    first, second, rest = x.split([pairs, pairs, x.shape[-1] - 2 * pairs], dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine, rest], dim=-1)


def attend_along(q: Tensor, k: Tensor, v: Tensor, lines: int) -> Tensor:
    """Attention inside every line: `[B, H, W, h, d] -> [B, H, W, h, d]`.

    Args:
        q, k, v: Queries, keys and values.
        lines: `ROWS` or `COLUMNS`.
    """
    by_lines = [x if lines == ROWS else x.transpose(ROWS, COLUMNS) for x in (q, k, v)]
    count, length = by_lines[0].shape[:2], by_lines[0].shape[2]
    queries, keys, values = (x.flatten(0, 1).transpose(1, 2) for x in by_lines)  # [N, h, length, d]
    decay = axis_decay(q.shape[3], length, device=q.device)
    attended = dot_product_attention(rotated(queries), rotated(keys), values, decay)
    out: Tensor = attended.transpose(1, 2).unflatten(0, count)
    return out if lines == ROWS else out.transpose(ROWS, COLUMNS)


class AxialAttention(nn.Module):
    """Mixer `axial`: attention along the rows and along the columns.

    Args:
        channels: Channels in and out.
        heads: Number of heads.
        block: Index of the block at its resolution: even blocks begin with the rows, odd ones with the columns.
    """

    def __init__(self, channels: int, heads: int, *, block: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.order = (COLUMNS, ROWS) if block % 2 else (ROWS, COLUMNS)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.local = nn.Parameter(centred_kernel(channels, KERNEL))
        self.local_bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(3)
        local = depthwise(v.flatten(3), self.local, self.local_bias)
        for lines in self.order:
            v = attend_along(q, k, v, lines)
        out: Tensor = self.proj(v.flatten(3) + local)
        return out


def build(config: ModelSection, resolution: int, channels: int, index: int) -> AxialAttention:
    """The mixer by a recipe's [model] section."""
    return AxialAttention(channels, config.heads_at(resolution), block=index)


def multiply_adds(config: ModelSection, resolution: int) -> int:
    """Projections, the kernel on the values, and attention to a row and to a column."""
    channels = config.width_at(resolution)
    return resolution**2 * (4 * channels**2 + KERNEL**2 * channels + 4 * resolution * channels)

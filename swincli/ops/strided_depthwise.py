"""Depthwise convolution of channels-last maps with zero padding and a stride, also tile by tile."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops.cpu_tiles import Tile, tiles
from swincli.ops.instance_norm import NormaliseTile


def depthwise(x: Tensor, kernel: Tensor, *, stride: int = 1, bias: Tensor | None = None) -> Tensor:
    """`[B, H, W, C] -> [B, H / stride, W / stride, C]`; result (i, j) is centred at (stride i, stride j).

    Args:
        x: Features; H and W are multiples of `stride`.
        kernel: One odd square kernel a channel, `[C, 1, k, k]`.
        stride: Step between results.
        bias: Added to every position, `[C]`.
    """
    out = F.conv2d(x.permute(0, 3, 1, 2), kernel, bias, stride, kernel.shape[-1] // 2, groups=len(kernel))
    return out.permute(0, 2, 3, 1)


def depthwise_rows(x: Tensor, normalise: NormaliseTile, tile: Tile, kernel: Tensor, *, stride: int = 1) -> Tensor:
    """The rows of `depthwise(normalise(x))` that a tile of its result has, `[b, rows, W / stride, C]`.

    Args:
        x: The map before the norm, `[B, H, W, C]`.
        normalise: Normalises one tile of x.
        tile: The images and the rows of the result.
        kernel, stride: As for `depthwise`.
    """
    reach, height = kernel.shape[-1] // 2, x.shape[1]
    first, last = stride * tile.rows.start - reach, stride * (tile.rows.stop - 1) + reach + 1
    inside = x[tile.images, max(first, 0) : min(last, height)]
    padded = F.pad(normalise(inside, tile.images), (0, 0, 0, 0, max(-first, 0), max(last - height, 0)))
    out = F.conv2d(padded.permute(0, 3, 1, 2), kernel, None, stride, (0, reach), groups=len(kernel))
    return out.permute(0, 2, 3, 1)


def depthwise_tiled(x: Tensor, normalise: NormaliseTile, kernel: Tensor, *, stride: int) -> Tensor:
    """`depthwise(normalise(x))` in tiles, without autograd; only the result has the size of a map."""
    batch, height, width, channels = x.shape
    out = torch.empty(batch, height // stride, width // stride, channels, dtype=x.dtype, device=x.device)
    for tile in tiles(out, stride**2 * channels):
        tile.write(out, depthwise_rows(x, normalise, tile, kernel, stride=stride))
    return out

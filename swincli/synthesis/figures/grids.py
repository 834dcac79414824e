"""Image grids without labels."""

from __future__ import annotations

import torch
from torch import Tensor


def tile(pictures: Tensor, columns: int) -> Tensor:
    """Tile images row by row: uint8 `[N, H, W, 3] -> [rows H, columns W, 3]`; empty places are black."""
    count, height, width, channels = pictures.shape
    rows = -(-count // columns)
    canvas = torch.zeros(rows * columns, height, width, channels, dtype=torch.uint8)
    canvas[:count] = pictures
    split = canvas.view(rows, columns, height, width, channels).permute(0, 2, 1, 3, 4)
    return split.reshape(rows * height, columns * width, channels)

"""Tiling of images."""

from __future__ import annotations

import torch

from swincli.synthesis.figures.grids import tile


def test_tiles_lie_row_by_row_and_the_rest_is_black() -> None:
    pictures = torch.stack([torch.full((2, 3, 3), value, dtype=torch.uint8) for value in (10, 20, 30)])
    grid = tile(pictures, columns=2)
    assert grid.shape == (4, 6, 3)
    assert grid[0, 0, 0] == 10
    assert grid[1, 5, 2] == 20
    assert grid[3, 2, 1] == 30
    assert (grid[2:, 3:] == 0).all()

"""Bilinear sampling against a plain twin, its transpose, and gradients of gradients."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops.bilinear import sample_bilinear, spread_bilinear, spread_sorted


def case(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images of 4 x 5 pixels, and places of which some lie outside."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 3, 4, 5, generator=random, dtype=torch.float64)
    return images, torch.rand(2, 6, 3, 2, generator=random, dtype=torch.float64) * 3 - 1.5


def plain_sample(images: Tensor, grid: Tensor) -> Tensor:
    """Four neighbours by their distances, one place after another."""
    _, _, height, width = images.shape
    out = torch.zeros(*images.shape[:2], *grid.shape[1:3], dtype=images.dtype)
    for image, row, column in torch.cartesian_prod(*map(torch.arange, (len(images), *grid.shape[1:3]))).tolist():
        x = (float(grid[image, row, column, 0]) + 1) * width / 2 - 0.5
        y = (float(grid[image, row, column, 1]) + 1) * height / 2 - 0.5
        for i in (math.floor(y), math.floor(y) + 1):
            for j in (math.floor(x), math.floor(x) + 1):
                if 0 <= i < height and 0 <= j < width:
                    out[image, :, row, column] += images[image, :, i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return out


def test_it_equals_the_plain_twin_and_pytorch() -> None:
    images, grid = case()
    torch.testing.assert_close(sample_bilinear(images, grid), plain_sample(images, grid))
    torch.testing.assert_close(sample_bilinear(images, grid), F.grid_sample(images, grid, align_corners=False))


def test_spreading_is_the_transpose_on_every_kind_of_device() -> None:
    images, grid = case()
    values = torch.randn(2, 3, 6, 3, dtype=torch.float64)
    of_cpu, of_others = spread_bilinear(values, grid, 4, 5), spread_sorted(values, grid, 4, 5)
    torch.testing.assert_close(of_cpu, of_others)
    torch.testing.assert_close((of_cpu * images).sum(), (plain_sample(images, grid) * values).sum())


def test_it_can_be_differentiated_twice() -> None:
    images, grid = case()
    images.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sample_bilinear(x, grid).square(), images)
    assert torch.autograd.gradgradcheck(lambda x: sample_bilinear(x, grid).pow(3), images)

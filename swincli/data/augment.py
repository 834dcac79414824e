"""Changes to images in the networks' range, `[B, 3, H, W]`: the training flip, and bCR's augmentation.

Both take a CPU generator and act on any device; all are differentiable with respect to the images.
"""

from __future__ import annotations

import torch
from torch import Tensor

TRANSLATION = 1 / 8
CUTOUT = 1 / 2


def flip(images: Tensor, random: torch.Generator) -> Tensor:
    """Mirror every image with probability one half."""
    chosen = torch.rand(len(images), 1, 1, 1, generator=random) < 0.5
    return torch.where(chosen.to(images.device), images.flip(3), images)


def consistency_augment(images: Tensor, random: torch.Generator) -> Tensor:
    """bCR's augmentation: flip, brightness, saturation, contrast, 1/8 translation and a cutout of half the side.

    As the original release does, after DiffAugment (Zhao et al., 2020).
    """

    def draw(low: float, high: float) -> Tensor:
        uniform = torch.rand(len(images), 1, 1, 1, generator=random)
        return (low + (high - low) * uniform).to(images)

    images = flip(images, random)
    images = images + draw(-0.5, 0.5)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * draw(0.0, 2.0)
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    images = level + (images - level) * draw(0.5, 1.5)
    return _cutout(_translate(images, random), random)


def _integers(count: int, low: int, high: int, random: torch.Generator) -> Tensor:
    return torch.randint(low, high + 1, (count,), generator=random)


def _translate(images: Tensor, random: torch.Generator) -> Tensor:
    """Shift every image by up to 1/8 of its side, with black (0) moving in."""
    count, _, height, width = images.shape
    rows = _shifted(count, height, random)
    columns = _shifted(count, width, random)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    index = torch.arange(count)[:, None, None]
    picked = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def _shifted(count: int, side: int, random: torch.Generator) -> Tensor:
    """Source coordinate in a side padded by 1 of every target coordinate, `[count, side]`; out of range is padding."""
    reach = int(side * TRANSLATION + 0.5)
    offset = _integers(count, -reach, reach, random)[:, None]
    return (torch.arange(side)[None] + offset + 1).clamp(0, side + 1)


def _cutout(images: Tensor, random: torch.Generator) -> Tensor:
    """Blacken (0) a square of half the side around a random centre of every image."""
    count, _, height, width = images.shape
    inside = []
    for side in (height, width):
        hole = int(side * CUTOUT + 0.5)
        center = _integers(count, 0, side, random)[:, None]
        position = torch.arange(side)[None]
        inside.append((position >= center - hole // 2) & (position < center - hole // 2 + hole))
    hidden = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(hidden.to(images.device), 0.0)

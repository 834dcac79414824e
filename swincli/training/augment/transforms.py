"""Changes to images in the networks' range, `[B, 3, H, W]`: the training flip, and bCR's augmentation.

What is drawn for a batch is drawn before, on the CPU, and handed in, so that a part of a batch is changed as it would
be among the rest. Both act on any device, and are differentiable with respect to the images.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

TRANSLATION = 1 / 8
CUTOUT = 1 / 2


@dataclass(frozen=True)
class ConsistencyDraws:
    """What bCR's augmentation does to every image of a batch; all are CPU tensors of B numbers.

    Attributes:
        flip: Whether it is mirrored.
        brightness: What is added, -0.5 to 0.5.
        saturation: Factor of the distance from gray, 0 to 2.
        contrast: Factor of the distance from the image's mean, 0.5 to 1.5.
        down, across: Translation in pixels.
        hole_row, hole_column: Centre of the cutout in pixels.
    """

    flip: Tensor
    brightness: Tensor
    saturation: Tensor
    contrast: Tensor
    down: Tensor
    across: Tensor
    hole_row: Tensor
    hole_column: Tensor

    def take(self, positions: Tensor) -> ConsistencyDraws:
        """Those of some of the images."""
        return ConsistencyDraws(*(getattr(self, field.name)[positions] for field in fields(self)))


def draw_flips(count: int, random: torch.Generator) -> Tensor:
    """Which of `count` images to mirror, each with probability one half: bool `[count]`."""
    return torch.rand(count, generator=random) < 0.5


def draw_consistency(count: int, size: int, random: torch.Generator) -> ConsistencyDraws:
    """bCR's augmentation of `count` images of side `size`: flip, colours, 1/8 translation and a cutout.

    As the original release draws them, after DiffAugment (Zhao et al., 2020).
    """

    def number(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=random)

    def integer(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (count,), generator=random)

    reach = int(size * TRANSLATION + 0.5)
    return ConsistencyDraws(
        flip=draw_flips(count, random),
        brightness=number(-0.5, 0.5),
        saturation=number(0.0, 2.0),
        contrast=number(0.5, 1.5),
        down=integer(-reach, reach),
        across=integer(-reach, reach),
        hole_row=integer(0, size),
        hole_column=integer(0, size),
    )


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the images that are `chosen`, bool `[B]`."""
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(3), images)


def consistency_augment(images: Tensor, draws: ConsistencyDraws) -> Tensor:
    """Flip, brighten, colour, contrast, shift and cut holes of half the side into images, as has been drawn."""

    def of_images(numbers: Tensor) -> Tensor:
        return numbers.to(images)[:, None, None, None]

    images = flip(images, draws.flip)
    images = images + of_images(draws.brightness)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * of_images(draws.saturation)
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    images = level + (images - level) * of_images(draws.contrast)
    return cutout(translate(images, draws.down, draws.across), draws.hole_row, draws.hole_column)


def translate(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Shift every image by its numbers of pixels, with black (0) moving in."""
    count, _, height, width = images.shape
    rows, columns = _sources(height, down), _sources(width, across)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    index = torch.arange(count)[:, None, None]
    picked = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def _sources(side: int, offset: Tensor) -> Tensor:
    """Source coordinate in a side padded by 1 of every target coordinate, `[B, side]`; out of range is padding."""
    return (torch.arange(side)[None] + offset[:, None] + 1).clamp(0, side + 1)


def cutout(images: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Blacken (0) a square of half the side around a centre of every image."""
    inside = []
    for side, center in ((images.shape[2], row[:, None]), (images.shape[3], column[:, None])):
        hole = int(side * CUTOUT + 0.5)
        position = torch.arange(side)[None]
        inside.append((position >= center - hole // 2) & (position < center - hole // 2 + hole))
    hidden = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(hidden.to(images.device), 0.0)

"""Augmentation of images in the networks' range, `[B, 3, H, W]`: the training flip and bCR's transforms.

Random parameters are drawn for the whole batch on the CPU and passed in, so that a micro-batch gets the same ones. The
transforms run on any device and are differentiable with respect to the images. Parameters on the images' device are
used without a copy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from swincli.ops.constants import cached_constant

TRANSLATION = 1 / 8
CUTOUT = 1 / 2


@dataclass(frozen=True)
class BcrParams:
    """Parameters of bCR's augmentation of `B` images of side `S`.

    Attributes:
        flip: Whether to mirror, `[B]`.
        brightness: Added value, -0.5 to 0.5, `[B]`.
        saturation: Factor of the distance from gray, 0 to 2, `[B]`.
        contrast: Factor of the distance from the image's mean, 0.5 to 1.5, `[B]`.
        rows, columns: Translation: `source_coordinates` of the pixels, `[B, S]`.
        hidden_rows, hidden_columns: Cutout: `hole_coordinates`, `[B, S]`.
    """

    flip: Tensor
    brightness: Tensor
    saturation: Tensor
    contrast: Tensor
    rows: Tensor
    columns: Tensor
    hidden_rows: Tensor
    hidden_columns: Tensor

    def take(self, positions: Tensor | slice) -> BcrParams:
        """The parameters of the images at some positions."""
        return BcrParams(*(getattr(self, field.name)[positions] for field in fields(self)))


def draw_flips(count: int, random: torch.Generator) -> Tensor:
    """Which of `count` images to mirror, each with probability 1/2: bool `[count]`."""
    return torch.rand(count, generator=random) < 0.5


def draw_bcr_params(count: int, size: int, random: torch.Generator) -> BcrParams:
    """Random parameters for `count` images of side `size`: flip, colours, 1/8 translation and a cutout.

    Drawn as in the original release, after DiffAugment (Zhao et al., 2020).
    """

    def number(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=random)

    def integer(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (count,), generator=random)

    reach = int(size * TRANSLATION + 0.5)
    return BcrParams(
        flip=draw_flips(count, random),
        brightness=number(-0.5, 0.5),
        saturation=number(0.0, 2.0),
        contrast=number(0.5, 1.5),
        rows=source_coordinates(size, integer(-reach, reach)),
        columns=source_coordinates(size, integer(-reach, reach)),
        hidden_rows=hole_coordinates(size, integer(0, size)),
        hidden_columns=hole_coordinates(size, integer(0, size)),
    )


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the images that are `chosen`, bool `[B]`."""
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(3), images)


def bcr_augment(images: Tensor, draws: BcrParams) -> Tensor:
    """Apply flip, brightness, saturation, contrast, translation and cutout, in this order."""

    def of_images(numbers: Tensor) -> Tensor:
        return numbers.to(images)[:, None, None, None]

    images = flip(images, draws.flip)
    images = images + of_images(draws.brightness)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * of_images(draws.saturation)
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    images = level + (images - level) * of_images(draws.contrast)
    return cutout(translate(images, draws.rows, draws.columns), draws.hidden_rows, draws.hidden_columns)


def translate(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Shift each image by its own number of pixels; black (0) moves in.

    Args:
        images: `[B, C, S, S]`.
        rows, columns: `source_coordinates` of its shift down and across, int64 `[B, S]`.
    """
    rows, columns = rows.to(images.device), columns.to(images.device)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    index = image_numbers(len(images), device=images.device)
    picked = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


@cached_constant
def image_numbers(count: int, *, device: torch.device | None = None) -> Tensor:
    """0 to `count` - 1 as int64 `[count, 1, 1]`, to index images by pixel."""
    return torch.arange(count, device=device)[:, None, None]


def source_coordinates(side: int, offset: Tensor) -> Tensor:
    """Source coordinate of every target pixel along one side that is padded by 1, `[B, side]`; the padding is black."""
    return (torch.arange(side)[None] + offset[:, None] + 1).clamp(0, side + 1)


def cutout(images: Tensor, hidden_rows: Tensor, hidden_columns: Tensor) -> Tensor:
    """Set the pixels in a hidden row and a hidden column, bool `[B, S]` each, to black (0)."""
    rows, columns = hidden_rows.to(images.device), hidden_columns.to(images.device)
    return images.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0.0)


def hole_coordinates(side: int, center: Tensor) -> Tensor:
    """Which coordinates along one side a square of half the side around each image's centre point hides, `[B, side]`.

    Args:
        side: Of the image in pixels.
        center: In pixels, `[B]`.
    """
    hole = int(side * CUTOUT + 0.5)
    first, position = center[:, None] - hole // 2, torch.arange(side)[None]
    return (position >= first) & (position < first + hole)

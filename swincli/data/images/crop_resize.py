"""The shape of a picture: cutting out what becomes a square, and resizing it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swincli.data.images.decode import Picture

Filter = Literal["lanczos", "box", "bicubic", "bilinear"]
Crop = Literal["center", "center-wide", "random", "none"]
Gamma = Literal["srgb", "linear"]

_WIDE: Final = (4, 3)  # the shape of LSUN's cars in StyleGAN2, 512 x 384 in 512 x 512 px
_RESAMPLING = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


@dataclass(frozen=True)
class Region:
    """A rectangle of a picture in pixels of its file."""

    left: int
    top: int
    width: int
    height: int


def choose_region(width: int, height: int, crop: Crop, digest: bytes) -> Region:
    """Decide which part of a picture stays.

    "center" and "none" take the largest square at the centre (one pixel left of or above it where the margin is odd),
    which for "none" is to be all of it; "random" the largest square anywhere along the longer side; "center-wide" the
    largest rectangle of 4:3 at the centre.

    Args:
        width: Of the picture.
        height: Likewise.
        crop: How.
        digest: A hash of the picture, which decides where "random" cuts.
    """
    across, down = _WIDE if crop == "center-wide" else (1, 1)
    kept_width = min(width, max(1, height * across // down))
    kept_height = min(height, max(1, width * down // across))
    left, top = (width - kept_width) // 2, (height - kept_height) // 2
    if crop == "random":
        chance = int.from_bytes(digest[8:16], "big")  # the first eight bytes decide about the part of a split
        left, top = chance % (width - kept_width + 1), chance % (height - kept_height + 1)
    return Region(left, top, kept_width, kept_height)


def shape(
    picture: Picture, region: Region, resolution: int, filter_name: Filter, gamma: Gamma = "srgb"
) -> NDArray[np.uint8]:
    """Resize a region of a picture to the width of a square; one of 4:3 gets black above and below it.

    Args:
        picture: The whole picture.
        region: What of it stays, in pixels of the file: a square, or one that is wider than high.
        resolution: Side of the square.
        filter_name: What it is resized with, always antialiased.
        gamma: "srgb" resizes the stored values, as nearly every tool does, "linear" the light that they stand for.

    Returns:
        uint8 [resolution, resolution, 3].
    """
    cut, box = _cut(picture, region)
    height = resolution if region.width == region.height else resolution * _WIDE[1] // _WIDE[0]
    size, filter_number = (resolution, height), _RESAMPLING[filter_name]
    if gamma == "linear":
        band = _resize_light(cut, size, filter_number, box)
    else:
        band = np.asarray(cut.resize(size, filter_number, box, reducing_gap=None))
    if height == resolution:
        return band
    square = np.zeros((resolution, resolution, 3), np.uint8)
    above = (resolution - height) // 2
    square[above : above + height] = band
    return square


def _cut(picture: Picture, region: Region) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """Cut out the pixels that a region touches, and tell where it lies in them."""
    by = picture.reduction
    left, top = region.left / by, region.top / by
    right, bottom = (region.left + region.width) / by, (region.top + region.height) / by
    outer = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    cut = picture.image if outer == (0, 0, *picture.image.size) else picture.image.crop(outer)
    return cut, (left - outer[0], top - outer[1], right - outer[0], bottom - outer[1])


def _resize_light(
    image: Image.Image, size: tuple[int, int], filter_number: Image.Resampling, box: tuple[float, float, float, float]
) -> NDArray[np.uint8]:
    """Resize in linear light: sRGB's curve is taken off before and put back on afterwards."""
    light = _light_of_values()
    channels = []
    for channel in image.split():
        bright = Image.fromarray(light[np.asarray(channel)])
        channels.append(np.asarray(bright.resize(size, filter_number, box, reducing_gap=None)))
    linear = np.stack(channels, axis=-1).clip(0, 1)
    curved = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (curved * 255 + 0.5).astype(np.uint8)


@cache
def _light_of_values() -> NDArray[np.float32]:
    """The light that each of the 256 values stands for, from 0 to 1 (IEC 61966-2-1)."""
    values = np.arange(256) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)

"""Crop and resize: choose a region of an image, cut it out and resize it to a square."""

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

_WIDE: Final = (4, 3)  # aspect ratio of LSUN cars in StyleGAN2: 512 x 384 in 512 x 512 px
_RESAMPLING = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


@dataclass(frozen=True)
class Region:
    """A rectangle of an image, in pixels of its file."""

    left: int
    top: int
    width: int
    height: int


def choose_region(width: int, height: int, crop: Crop, digest: bytes) -> Region:
    """Choose the region that is cropped.

    "center" and "none": the largest central square. If the margin is odd, it is one pixel further left or up. ("none"
    rejects images that are not square; see `decode_and_crop`.) "random": the largest square, at a random place along
    the longer side. "center-wide": the largest central rectangle of 4:3.

    Args:
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        crop: The way to crop.
        digest: SHA-256 of the file. It decides the place of a "random" crop.
    """
    across, down = _WIDE if crop == "center-wide" else (1, 1)
    kept_width = min(width, max(1, height * across // down))
    kept_height = min(height, max(1, width * down // across))
    left, top = (width - kept_width) // 2, (height - kept_height) // 2
    if crop == "random":
        chance = int.from_bytes(digest[8:16], "big")  # `Split.part_of` uses the first eight bytes
        left, top = chance % (width - kept_width + 1), chance % (height - kept_height + 1)
    return Region(left, top, kept_width, kept_height)


def crop_and_resize(
    picture: Picture, region: Region, resolution: int, filter_name: Filter, gamma: Gamma = "srgb"
) -> NDArray[np.uint8]:
    """Crop a region and resize it to a square. A region of 4:3 gets black bars above and below.

    Args:
        picture: The decoded image.
        region: The region, in pixels of the file: a square or 4:3.
        resolution: Side of the result in pixels.
        filter_name: Resampling filter, always antialiased.
        gamma: "srgb" averages the stored values, as nearly every tool does. "linear" averages linear light.

    Returns:
        uint8 [resolution, resolution, 3].
    """
    cut, box = _cut(picture, region)
    height = resolution if region.width == region.height else resolution * _WIDE[1] // _WIDE[0]
    size, filter_number = (resolution, height), _RESAMPLING[filter_name]
    if gamma == "linear":
        band = _resize_linear(cut, size, filter_number, box)
    else:
        band = np.asarray(cut.resize(size, filter_number, box, reducing_gap=None))
    if height == resolution:
        return band
    square = np.zeros((resolution, resolution, 3), np.uint8)
    above = (resolution - height) // 2
    square[above : above + height] = band
    return square


def _cut(picture: Picture, region: Region) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """Crop to the whole pixels that a region touches; return the image and the region's box inside it."""
    by = picture.reduction
    left, top = region.left / by, region.top / by
    right, bottom = (region.left + region.width) / by, (region.top + region.height) / by
    outer = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    cut = picture.image if outer == (0, 0, *picture.image.size) else picture.image.crop(outer)
    return cut, (left - outer[0], top - outer[1], right - outer[0], bottom - outer[1])


def _resize_linear(
    image: Image.Image, size: tuple[int, int], filter_number: Image.Resampling, box: tuple[float, float, float, float]
) -> NDArray[np.uint8]:
    """Resize in linear light: sRGB to linear, resize, linear to sRGB."""
    linear_of_srgb = _linear_of_srgb()
    channels = []
    for number in range(3):
        bright = Image.fromarray(linear_of_srgb[np.asarray(image.getchannel(number))])
        channels.append(np.asarray(bright.resize(size, filter_number, box, reducing_gap=None)))
    linear = np.stack(channels, axis=-1).clip(0, 1)
    curved = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (curved * 255 + 0.5).astype(np.uint8)


@cache
def _linear_of_srgb() -> NDArray[np.float32]:
    """float32 [256]: linear light of each 8-bit sRGB value, from 0 to 1 (IEC 61966-2-1)."""
    values = np.arange(256) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)

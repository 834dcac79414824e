"""Colour conversion: any Pillow mode and ICC profile to sRGB, with transparency over a background."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, ImageCms, ImageColor, features

from swincli.data.images.rejected import ImageError

Colour = tuple[int, int, int]

WHITE: Final[Colour] = (255, 255, 255)


def parse_colour(text: str) -> Colour:
    """Parse a colour: a CSS name such as "black", or "rrggbb". The # is optional, because shells read it as a comment.

    Raises:
        ValueError: The text is no colour, or the colour is transparent.
    """
    for spelling in (text, f"#{text}"):
        try:
            colour = ImageColor.getrgb(spelling)
        except ValueError:
            continue
        if len(colour) == 3:
            return colour
    raise ValueError(f"{text!r} is not a colour")


def spell_colour(colour: Colour) -> str:
    """Format a colour as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def to_rgb(image: Image.Image, name: str, background: Colour) -> Image.Image:
    """Convert any mode to RGB, any ICC profile to sRGB, and composite transparent pixels over the background.

    Args:
        image: A loaded image of any mode.
        name: The name in the error.
        background: Colour under transparent pixels.

    Returns:
        An image of mode RGB.

    Raises:
        ImageError: The mode has no fixed range of values.
    """
    colours = _plain_mode(image, name)
    alpha = None
    if colours.mode in ("LA", "RGBA"):
        alpha = colours.getchannel("A")
        colours = colours.convert(colours.mode[:-1])
    rgb = _to_srgb(colours, image.info.get("icc_profile"))
    if alpha is None:
        return rgb
    return Image.composite(rgb, Image.new("RGB", rgb.size, background), alpha)


def _plain_mode(image: Image.Image, name: str) -> Image.Image:
    """Convert to L, LA, RGB, RGBA or CMYK with 8 bits per channel."""
    if image.mode.startswith("I;16"):  # `convert` would clip; for 16-bit colour Pillow keeps the high byte itself
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageError(name, "32-bit pixels: their range is unknown, convert them to 8 or 16 bits")
    if image.mode in ("PA", "RGBa") or (image.mode in ("1", "L", "RGB", "P") and "transparency" in image.info):
        return image.convert("RGBA")
    if image.mode == "La":
        return image.convert("LA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") else image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert L, RGB or CMYK to RGB through its ICC profile. Without a usable profile, assume sRGB."""
    if profile and features.check("littlecms2"):
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            if image.mode == "RGB" and "srgb" in ImageCms.getProfileDescription(source).lower():
                return image
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):  # a damaged profile, or one for another mode
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")

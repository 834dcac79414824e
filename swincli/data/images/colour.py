"""Colours of a picture: any mode and profile to sRGB, and what is transparent over a background."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, ImageCms, ImageColor, features

from swincli.data.images.rejected import ImageError

Colour = tuple[int, int, int]

WHITE: Final[Colour] = (255, 255, 255)


def parse_colour(text: str) -> Colour:
    """Read a colour: a name of CSS such as "black", or "rrggbb"; its # may be left out, for shells see a comment there.

    Raises:
        ValueError: it is no colour, or a transparent one.
    """
    for spelling in (text, f"#{text}"):
        try:
            colour = ImageColor.getrgb(spelling)
        except ValueError:
            continue
        if len(colour) == 3:
            return colour
    raise ValueError(f"{text!r} is no colour")


def spell_colour(colour: Colour) -> str:
    """Write a colour as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def to_rgb(image: Image.Image, name: str, background: Colour) -> Image.Image:
    """Convert any mode to RGB, its colour profile to sRGB, and lay what is transparent over the background.

    Raises:
        ImageError: pixels without a fixed range.
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
    """Convert to one of L, LA, RGB, RGBA and CMYK, 8 bits a channel."""
    if image.mode.startswith("I;16"):  # converting would clip; Pillow itself keeps the high byte of 16-bit colour
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
    """Convert L, RGB or CMYK to RGB through its profile; without a usable one it is taken for sRGB."""
    if profile and features.check("littlecms2"):
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            if image.mode == "RGB" and "srgb" in ImageCms.getProfileDescription(source).lower():
                return image
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):  # damaged, or a profile of another kind of image
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")

"""Colour conversion: any Pillow mode and ICC profile to sRGB, with transparency over a background."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, ImageCms, ImageColor, features

from swincli.data.images.rejected import ImageError

Colour = tuple[int, int, int]

WHITE: Final[Colour] = (255, 255, 255)
_STRIP_PIXELS: Final = 2**20  # pixels that are converted at a time
_SRGB_TOLERANCE: Final = 2  # levels of 255 between an sRGB profile and another maker's


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

    It works strip by strip: besides the image and the result it needs a few megabytes.

    Args:
        image: A loaded image of any mode.
        name: The name in the error.
        background: Colour under transparent pixels.

    Returns:
        An image of mode RGB; the same object if nothing is to be done.

    Raises:
        ImageError: The mode has no fixed range of values.
    """
    if image.mode in ("I", "F"):
        raise ImageError(name, "32-bit pixels: their range is unknown, convert them to 8 or 16 bits")
    profile = image.info.get("icc_profile") or None
    if image.mode == "RGB" and "transparency" not in image.info and _transform(profile, "RGB") is None:
        return image
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        return _strip_to_rgb(image, profile, background)
    whole = Image.new("RGB", image.size)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows)))
        whole.paste(_strip_to_rgb(strip, profile, background), (0, top))
    return whole


def _strip_to_rgb(image: Image.Image, profile: bytes | None, background: Colour) -> Image.Image:
    colours = _plain_mode(image)
    alpha = None
    if colours.mode in ("LA", "RGBA"):
        alpha = colours.getchannel("A")
        colours = colours.convert(colours.mode[:-1])
    transform = _transform(profile, colours.mode)
    rgb = colours.convert("RGB") if transform is None else _apply(transform, colours)
    if alpha is None:
        return rgb
    return Image.composite(rgb, Image.new("RGB", rgb.size, background), alpha)


def _plain_mode(image: Image.Image) -> Image.Image:
    """Convert to L, LA, RGB, RGBA or CMYK with 8 bits per channel."""
    if image.mode.startswith("I;16"):  # `convert` would clip; for 16-bit colour Pillow keeps the high byte itself
        deep = np.asarray(image)
        grey = Image.fromarray((deep >> 8).astype(np.uint8))
        if "transparency" in image.info:
            opaque = Image.fromarray((deep != image.info["transparency"]).astype(np.uint8) * 255)
            return Image.merge("LA", (grey, opaque))
        return grey
    if image.mode in ("PA", "RGBa") or (image.mode in ("1", "L", "RGB", "P") and "transparency" in image.info):
        return image.convert("RGBA")
    if image.mode == "La":
        return image.convert("LA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") else image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Transform from a profile to sRGB for images of mode L, RGB or CMYK.

    None if there is none to do: without a usable profile the colours are taken for sRGB, and a profile that moves no
    colour by more than `_SRGB_TOLERANCE` levels is one of sRGB, whatever its name.
    """
    if not profile or not features.check("littlecms2"):
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode == "RGB":
            probe = _probe()
            moved = np.abs(np.asarray(_apply(transform, probe), np.int16) - np.asarray(probe, np.int16)).max()
            return transform if moved > _SRGB_TOLERANCE else None
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile, or one for another mode
        return None
    return transform


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only with inPlace
    return converted


def _probe() -> Image.Image:
    """Colours that tell profiles apart: all greys, then a cube of 9 x 9 x 9 colours."""
    levels = np.arange(256, dtype=np.uint8)
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([np.stack([levels] * 3, -1), cube])[None])

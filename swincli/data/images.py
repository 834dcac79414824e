"""One picture: from the bytes of a file to an RGB square of the right size."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError, features

from swincli.data.rejection import ImageError

Filter = Literal["lanczos", "box", "bicubic"]
Crop = Literal["center", "none"]

LARGEST_PIXELS = 150_000_000  # a bound on the memory of one picture: 600 MB at four channels
HEAD_BYTES = 16  # enough to tell by `looks_like_image`
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
_SIGNATURES = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM",
    b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
)  # fmt: skip
_NOT_AN_IMAGE = "not an image (PNG, JPEG, WebP, TIFF, BMP or GIF)"
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_RESAMPLING = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
}


def require_image(head: bytes, name: str) -> None:
    """Tell by the first bytes of a file whether it is worth reading on.

    Raises:
        ImageError: it is empty, or of no kind that `decode` reads.
    """
    if not head:
        raise ImageError(name, "empty file")
    if not head.startswith(_SIGNATURES) and not (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        raise ImageError(name, _NOT_AN_IMAGE)


def decode(data: bytes, name: str) -> Image.Image:
    """Decode a picture, upright and in sRGB: mode RGB, transparency over white, the first frame of several.

    Args:
        data: The whole file.
        name: What errors call it.

    Raises:
        ImageError: not an image, damaged, of too many pixels, or of a mode without a fixed range.
    """
    require_image(data[:HEAD_BYTES], name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oddities of metadata say nothing about the pixels
        try:
            with Image.open(BytesIO(data), formats=_FORMATS) as image:
                if image.width * image.height > LARGEST_PIXELS:
                    raise Image.DecompressionBombError
                image.load()
                return _upright(_to_rgb(image, name), _orientation(image))
        except ImageError:
            raise
        except Image.DecompressionBombError:
            reason = f"too large: over {LARGEST_PIXELS // 1_000_000} million pixels, perhaps a decompression bomb"
            raise ImageError(name, reason) from None
        except UnidentifiedImageError:
            raise ImageError(name, "damaged: its header cannot be read") from None
        except Exception as error:  # on damaged files Pillow's decoders raise nearly anything
            raise ImageError(name, f"damaged: {_describe(error)}") from error


def crop_center(image: Image.Image) -> Image.Image:
    """Cut out the largest square at the centre; one pixel left of or above it where the margin is odd."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def resize(image: Image.Image, resolution: int, filter_name: Filter) -> Image.Image:
    """Resize a square to `resolution` x `resolution` px, always with the whole (antialiased) filter."""
    return image.resize((resolution, resolution), _RESAMPLING[filter_name], reducing_gap=None)


def _describe(error: Exception) -> str:
    text = str(error)
    return type(error).__name__ if not text or " at 0x" in text else text  # an address would differ every time


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Convert any mode to RGB, its colour profile to sRGB, and lay what is transparent over white."""
    colours = _plain_mode(image, name)
    alpha = None
    if colours.mode in ("LA", "RGBA"):
        alpha = colours.getchannel("A")
        colours = colours.convert(colours.mode[:-1])
    rgb = _to_srgb(colours, image.info.get("icc_profile"))
    if alpha is None:
        return rgb
    return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)


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


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata, in as many ways as damaged pixels, leaves the picture as it lies
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)

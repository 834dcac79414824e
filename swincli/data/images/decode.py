"""Image decoding: from the bytes of a file to upright sRGB pixels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from PIL import Image, UnidentifiedImageError

from swincli.data.images.colour import WHITE, Colour, to_rgb
from swincli.data.images.formats import HEAD_BYTES, PILLOW_NAMES, require_image
from swincli.data.images.png_check import require_whole_png
from swincli.data.images.rejected import ImageError

Jpeg = Literal["fast", "exact"]

DECODING = "upright by EXIF, ICC profile to sRGB, transparency over white, 16 bits to the high 8, first frame"
"""What `decode` does, for protocols: all of it is more than Pillow's `convert("RGB")`."""

LARGEST_PIXELS = 150_000_000  # limits the memory of one image: 600 MB with four channels
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
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_REDUCTIONS = (8, 4, 2)  # a JPEG decoder can shrink its blocks of 8 x 8 px by these factors


@dataclass(frozen=True)
class Picture:
    """A decoded image and facts of its file.

    Attributes:
        image: Upright image of mode RGB.
        width: Upright width of the file in pixels: `reduction` times the width of `image`.
        height: Upright height, likewise.
        mode: Pillow's mode of the file, such as "CMYK".
        kind: Pillow's format of the file, such as "JPEG".
        reduction: Factor by which the decoder shrank the image: 1, 2, 4 or 8.
    """

    image: Image.Image
    width: int
    height: int
    mode: str
    kind: str
    reduction: int


def decode(data: bytes, name: str) -> Image.Image:
    """Decode an image: RGB, upright, sRGB, transparency over white, the first of several frames.

    Args:
        data: The whole file.
        name: The name in errors.

    Raises:
        ImageError: The file is no image, is damaged, has too many pixels, or its mode has no fixed range.
    """
    return open_picture(data, name).image


def open_picture(data: bytes, name: str, background: Colour = WHITE, enough: int | None = None) -> Picture:
    """Decode an image like `decode`, and also return facts of the file.

    Args:
        data: The whole file.
        name: The name in errors.
        background: Colour under transparent pixels.
        enough: A JPEG may be shrunk while it is decoded as long as its shorter side keeps this many pixels. This is
            several times faster. None decodes every pixel.

    Raises:
        ImageError: The file is no image, is damaged, has too many pixels, or its mode has no fixed range.
    """
    require_image(data[:HEAD_BYTES], name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about metadata, which does not affect the pixels
        try:
            with Image.open(BytesIO(data), formats=PILLOW_NAMES) as image:
                if image.width * image.height > LARGEST_PIXELS:
                    raise Image.DecompressionBombError
                return _read(image, data, name, background, enough)
        except ImageError:
            raise
        except Image.DecompressionBombError:
            reason = f"too large: over {LARGEST_PIXELS // 1_000_000} million pixels, perhaps a decompression bomb"
            raise ImageError(name, reason) from None
        except UnidentifiedImageError:
            raise ImageError(name, "damaged: its header cannot be read") from None
        except Exception as error:  # Pillow's decoders raise nearly any exception for damaged files
            raise ImageError(name, f"damaged: {_describe(error)}") from error


def _read(image: Image.Image, data: bytes, name: str, background: Colour, enough: int | None) -> Picture:
    width, height = image.size
    if image.format == "PNG":
        require_whole_png(data)
    reduction = 1 if enough is None else _reduce(image, enough)
    image.load()
    orientation = _orientation(image)
    if orientation in _SIDEWAYS:
        width, height = height, width
    turn = _UPRIGHT.get(orientation)
    rgb = to_rgb(image, name, background)
    upright = rgb if turn is None else rgb.transpose(turn)
    return Picture(upright, width, height, image.mode, image.format or "", reduction)


def _reduce(image: Image.Image, enough: int) -> int:
    """Set up a JPEG to be shrunk while it is decoded, to a shorter side of at least `enough`; return the factor.

    The factor divides width and height. Otherwise the last row or column would cover fewer pixels of the file.
    """
    if image.format != "JPEG":
        return 1
    width, height = image.size
    for reduction in _REDUCTIONS:
        if not width % reduction and not height % reduction and min(width, height) >= reduction * enough:
            image.draft(image.mode, (width // reduction, height // reduction))
            return reduction
    return 1


def _describe(error: Exception) -> str:
    text = str(error)
    return type(error).__name__ if not text or " at 0x" in text else text  # an address differs in every run


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata raises nearly any exception; the image is then not turned
        return 1

"""One picture: from the bytes of a file to upright pixels in sRGB."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from PIL import Image, UnidentifiedImageError

from swincli.data.images.colour import WHITE, Colour, to_rgb
from swincli.data.images.png_check import require_whole_png
from swincli.data.images.rejected import ImageError

Jpeg = Literal["fast", "exact"]

LARGEST_PIXELS = 150_000_000  # a bound on the memory of one picture: 600 MB at four channels
HEAD_BYTES = 16  # enough to tell by `require_image`
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
_LYING = (5, 6, 7, 8)  # orientations that swap width and height
_REDUCTIONS = (8, 4, 2)  # what a JPEG's blocks of 8 x 8 px can be shrunk by as they are decoded


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        image: Mode RGB, upright.
        width: Of the file, upright, in pixels; `reduction` times that of the image.
        height: Likewise.
        mode: Of the file, in Pillow's words.
        kind: Of the file, such as "JPEG".
        reduction: By how much it was shrunk as it was decoded: 1, 2, 4 or 8.
    """

    image: Image.Image
    width: int
    height: int
    mode: str
    kind: str
    reduction: int


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
    return open_picture(data, name).image


def open_picture(data: bytes, name: str, background: Colour = WHITE, enough: int | None = None) -> Picture:
    """Decode a picture as `decode` does, and tell what the file was.

    Args:
        data: The whole file.
        name: What errors call it.
        background: What shows through where it is transparent.
        enough: A shorter side, in pixels, to which a JPEG may be shrunk while it is decoded, which is several times as
            fast. None decodes every pixel.

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
                return _read(image, data, name, background, enough)
        except ImageError:
            raise
        except Image.DecompressionBombError:
            reason = f"too large: over {LARGEST_PIXELS // 1_000_000} million pixels, perhaps a decompression bomb"
            raise ImageError(name, reason) from None
        except UnidentifiedImageError:
            raise ImageError(name, "damaged: its header cannot be read") from None
        except Exception as error:  # on damaged files Pillow's decoders raise nearly anything
            raise ImageError(name, f"damaged: {_describe(error)}") from error


def _read(image: Image.Image, data: bytes, name: str, background: Colour, enough: int | None) -> Picture:
    width, height = image.size
    if image.format == "PNG":
        require_whole_png(data)
    reduction = 1 if enough is None else _reduce(image, enough)
    image.load()
    orientation = _orientation(image)
    if orientation in _LYING:
        width, height = height, width
    turn = _UPRIGHT.get(orientation)
    rgb = to_rgb(image, name, background)
    upright = rgb if turn is None else rgb.transpose(turn)
    return Picture(upright, width, height, image.mode, image.format or "", reduction)


def _reduce(image: Image.Image, enough: int) -> int:
    """Have a JPEG decoded smaller, as long as its shorter side stays at least `enough`; return by how much.

    Only whole pixels are made: a size that does not divide would leave a narrower one at the edge.
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
    return type(error).__name__ if not text or " at 0x" in text else text  # an address would differ every time


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata, in as many ways as damaged pixels, leaves the picture as it lies
        return 1

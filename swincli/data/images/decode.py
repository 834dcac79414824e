"""Image decoding: from the bytes of a file to upright sRGB pixels."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from swincli.data.images.colour import WHITE, Colour, to_rgb
from swincli.data.images.formats import HEAD_BYTES, require_image
from swincli.data.images.jpeg_check import read_jpeg_header
from swincli.data.images.rejected import DamagedError, ImageError
from swincli.data.images.repairs import NO_REPAIR, REPAIRS, Opened, Repair
from swincli.errors import ResourceError, SwincliError
from swincli.system.native_stderr import silent_libraries
from swincli.units import format_bytes

Jpeg = Literal["fast", "exact"]

DECODING = "upright by EXIF, ICC profile to sRGB, transparency over white, 16 bits to the high 8, first frame"
"""What `decode` does, for protocols: all of it is more than Pillow's `convert("RGB")`."""

LARGEST_PIXELS = 150_000_000  # limits the memory of one image: 600 MB with four channels
PIXEL_BYTES = 18  # most memory that a pixel takes while an image is decoded: WebP; most formats take 9
_ORIENTATION_TAG = 0x0112
_XMP = ("xmp", "XML:com.adobe.xmp")  # Pillow's keys
_OLD_EXIF = "Raw profile type exif"
_CUT_SHORT = ("truncat", "unexpected end", "end of file", "buffer is not large enough", "premature", "not enough")
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
        ImageError: The file is no image, is damaged, has too many pixels, or holds its pixels in a way that is not
            read.
        ResourceError: Memory does not suffice.
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
        ImageError: The file is no image, is damaged, has too many pixels, or holds its pixels in a way that is not
            read.
        ResourceError: Memory does not suffice.
    """
    image_format = require_image(data[:HEAD_BYTES], name)
    repair = REPAIRS.get(image_format.pillow_name, NO_REPAIR)
    size, opened = (0, 0), None
    with warnings.catch_warnings(), silent_libraries() if repair.noisy else nullcontext():
        warnings.simplefilter("ignore")  # Pillow warns about metadata, which does not affect the pixels
        try:
            opened = repair.before(data, name)
            with Image.open(BytesIO(opened.data), formats=(image_format.pillow_name,)) as image:
                size = image.size
                if size[0] * size[1] > LARGEST_PIXELS:
                    raise Image.DecompressionBombError
                return _read(image, opened, repair, name, background, enough)
        except (ImageError, ResourceError):
            raise
        except Image.DecompressionBombError:
            reason = f"too large: over {LARGEST_PIXELS // 1_000_000} million pixels, perhaps a decompression bomb"
            raise ImageError(name, reason) from None
        except UnidentifiedImageError:
            unread = opened.unread if opened is not None else None
            raise ImageError(name, unread or "damaged: its header cannot be read") from None
        except MemoryError as error:
            raise _no_memory(name, size) from error
        except Exception as error:  # Pillow's decoders raise nearly any exception for damaged files
            if "out of memory" in str(error).lower():
                raise _no_memory(name, size) from error
            if opened is not None and opened.unread and "unknown raw mode" in str(error):
                raise ImageError(name, opened.unread) from error
            if str(error).lower().startswith("unsupported"):
                raise ImageError(
                    name, f"unsupported: a {image_format.name} of a rare kind, convert it to PNG"
                ) from error
            raise ImageError(name, f"damaged: {_describe(error)}") from error


def _no_memory(name: str, size: tuple[int, int]) -> SwincliError:
    """The error for a picture that memory did not suffice for; or for a file that asks for more than it needs."""
    if _is_free(size[0] * size[1] * PIXEL_BYTES):
        return ImageError(name, "damaged: it asks for more memory than a picture of its size needs")
    return out_of_memory(name, *size)


def _is_free(size: int) -> bool:
    """Whether so many bytes of memory can be had."""
    try:
        np.empty(size, np.uint8)
    except MemoryError:
        return False
    return True


def out_of_memory(name: str, width: int, height: int) -> ResourceError:
    """The error for a picture that memory does not suffice for."""
    need = format_bytes(width * height * PIXEL_BYTES)
    message = f"{name}: not enough memory for a picture of {width:,} x {height:,} px"
    return ResourceError(message, f"It can take {need}. Use fewer --workers, free memory, or leave it out.")


def memory_need(data: bytes, enough: int | None) -> int:
    """Most bytes of memory that decoding a file takes, by the size that it declares.

    0 if the size cannot be read, or is so large that the file is not decoded.

    Args:
        data: The whole file.
        enough: As for `open_picture`.
    """
    try:
        image_format = require_image(data[:HEAD_BYTES], "")
        width, height = _DECLARED.get(image_format.pillow_name, _size_by_pillow)(data)
    except Exception:  # whoever decodes it says what is wrong
        return 0
    if width * height > LARGEST_PIXELS:
        return 0
    may_shrink = image_format.pillow_name == "JPEG" and enough is not None
    reduction = _reduction(width, height, enough or 0) if may_shrink else 1
    return width * height * PIXEL_BYTES // reduction**2


def _size_by_pillow(data: bytes) -> tuple[int, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(BytesIO(data)) as image:
            return image.size


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


_DECLARED: Final[dict[str, Callable[[bytes], tuple[int, int]]]] = {  # Pillow takes several times as long
    "PNG": _png_size,
    "JPEG": lambda data: read_jpeg_header(data).size,
}


def _read(
    image: ImageFile.ImageFile, opened: Opened, repair: Repair, name: str, background: Colour, enough: int | None
) -> Picture:
    width, height = image.size
    mode, kind = image.mode, image.format or ""
    if opened.profile is not None:
        image.info["icc_profile"] = opened.profile
    for key in _XMP:  # Pillow would turn the image by it; EXIF alone decides
        image.info.pop(key, None)
    reduction = 1 if enough is None else _reduce(image, enough)
    repair.opened(image, opened)
    image.load()
    orientation = _orientation(image)
    if orientation in _SIDEWAYS:
        width, height = height, width
    turn = _UPRIGHT.get(orientation)
    repaired = repair.after(image, opened)
    rgb = to_rgb(repaired, name, background)
    if rgb is not image:
        image.close()  # frees its pixels, which would double the memory below
    upright = rgb if turn is None else rgb.transpose(turn)
    return Picture(upright, width, height, mode, kind, reduction)


def _reduce(image: Image.Image, enough: int) -> int:
    """Set up a JPEG to be shrunk while it is decoded, to a shorter side of at least `enough`; return the factor."""
    if image.format != "JPEG":
        return 1
    width, height = image.size
    reduction = _reduction(width, height, enough)
    if reduction > 1:
        image.draft(image.mode, (width // reduction, height // reduction))
    return reduction


def _reduction(width: int, height: int, enough: int) -> int:
    """The largest factor by which a JPEG can be shrunk while it is decoded.

    The factor divides width and height. Otherwise the last row or column would cover fewer pixels of the file.
    """
    for reduction in _REDUCTIONS:
        if not width % reduction and not height % reduction and min(width, height) >= reduction * enough:
            return reduction
    return 1


def _describe(error: Exception) -> str:
    """The reason in plain words: our own, or whether the file ends too soon."""
    text = str(error)
    if isinstance(error, DamagedError):
        return text
    is_short = any(word in text.lower() for word in _CUT_SHORT)
    return "it is cut short" if is_short else "its data cannot be decoded"


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Pillow has turned a TIFF already."""
    if image.format == "TIFF":
        return 1
    try:
        exif = Image.Exif()
        if "exif" in image.info:
            exif.load(image.info["exif"])
        elif (old := image.info.get(_OLD_EXIF)) is not None:
            exif.load(bytes.fromhex("".join(old.split("\n")[3:])))
        return int(exif.get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata raises nearly any exception; the image is then not turned
        return 1

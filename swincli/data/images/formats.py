"""Image formats: those that are read, and those that are recognised to say why they are not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from PIL import features

from swincli.data.images.rejected import ImageError

HEAD_BYTES: Final = 64  # bytes of a file that `require_image` needs

_RAW: Final = "camera raw, develop it first"
_MP4_BRANDS: Final = rb".{4}ftyp"  # of ISO's media files: the brand follows, then a version and further brands


@dataclass(frozen=True)
class ImageFormat:
    """A format that is read.

    Attributes:
        pillow_name: Pillow's name, such as "WEBP".
        name: The name in messages, such as "WebP".
        signature: Regular expression that the first bytes of a file match.
        suffixes: File suffixes in lower case, with the dot.
        feature: Pillow's name of a part that it may be built without; None if every Pillow reads the format.
        package: Module that teaches Pillow the format; None if Pillow needs none.
        extra: Extra of swincli that installs the package.
    """

    pillow_name: str
    name: str
    signature: bytes
    suffixes: tuple[str, ...]
    feature: str | None = None
    package: str | None = None
    extra: str | None = None


@dataclass(frozen=True)
class OtherFormat:
    """A format that is recognised and not read.

    Attributes:
        signature: Regular expression that the first bytes of a file match.
        reason: Why it is not read, and what helps.
    """

    signature: bytes
    reason: str


IMAGE_FORMATS: Final = (
    ImageFormat("PNG", "PNG", rb"\x89PNG\r\n\x1a\n", (".png",)),
    ImageFormat("JPEG", "JPEG", rb"\xff\xd8\xff", (".jpg", ".jpeg")),
    ImageFormat("WEBP", "WebP", rb"RIFF.{4}WEBP", (".webp",)),
    ImageFormat("TIFF", "TIFF", rb"II[*+]\0|MM\0[*+]", (".tif", ".tiff")),
    ImageFormat("BMP", "BMP", rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", (".bmp",)),
    ImageFormat("GIF", "GIF", rb"GIF8[79]a", (".gif",)),
    ImageFormat(
        "AVIF", "AVIF", _MP4_BRANDS + rb"(?:avi[fs]|(?:mif1|msf1).{4}(?:.{4})*?avi[fs])", (".avif",), feature="avif"
    ),
    ImageFormat(
        "HEIF",
        "HEIC",
        _MP4_BRANDS + rb"(?:hei[cmsx]|hev[cmsx]|mif1|msf1)",
        (".heic", ".heif", ".hif"),
        package="pillow_heif",
        extra="heif",
    ),
)
OTHER_FORMATS: Final = (
    OtherFormat(_MP4_BRANDS + rb"crx ", f"{_RAW}: Canon CR3"),
    OtherFormat(rb"II\*\0.{4}CR", f"{_RAW}: Canon CR2"),
    OtherFormat(rb"II\x1a\0\0\0HEAPCCDR", f"{_RAW}: Canon CRW"),
    OtherFormat(rb"IIR[OS]|MMOR", f"{_RAW}: Olympus ORF"),
    OtherFormat(rb"IIU\0", f"{_RAW}: Panasonic RW2"),
    OtherFormat(rb"FUJIFILMCCD-RAW", f"{_RAW}: Fujifilm RAF"),
    OtherFormat(rb"FOVb", f"{_RAW}: Sigma X3F"),
    OtherFormat(rb"\0MRM", f"{_RAW}: Minolta MRW"),
    OtherFormat(rb"(?:II\*\0|MM\0\*).{4}(?:IIII|MMMM)", f"{_RAW}: Phase One IIQ"),
    OtherFormat(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL, convert it first: djxl IN.jxl OUT.png"),
    OtherFormat(rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", "unsupported: JPEG 2000, convert it to PNG"),
    OtherFormat(rb"II\xbc[\0\x01]", "unsupported: JPEG XR, convert it to PNG"),
    OtherFormat(rb"8BPS", "unsupported: a Photoshop file, export it as PNG"),
    OtherFormat(rb"v/1\x01", "unsupported: OpenEXR, convert it to PNG"),
)
_ANY_OTHER: Final = re.compile(b"|".join(other.signature for other in OTHER_FORMATS), re.DOTALL)
SUFFIXES: Final = frozenset(suffix for image_format in IMAGE_FORMATS for suffix in image_format.suffixes)


def list_formats(conjunction: str) -> str:
    """List the formats in a sentence, such as "PNG, JPEG, WebP, TIFF or BMP" for the conjunction "or"."""
    *names, last = (image_format.name for image_format in IMAGE_FORMATS)
    return f"{', '.join(names)} {conjunction} {last}"


def require_image(head: bytes, name: str) -> ImageFormat:
    """Find the format of a file by its signature, so that other files are not read to their end.

    Args:
        head: The first `HEAD_BYTES` bytes of the file.
        name: The name in the error.

    Raises:
        ImageError: The file is empty, has none of the formats, or a package that reads its format is missing.
    """
    if not head:
        raise ImageError(name, "empty file")
    if _ANY_OTHER.match(head):
        reasons = [other.reason for other in OTHER_FORMATS if re.match(other.signature, head, re.DOTALL)]
        raise ImageError(name, reasons[0])
    for image_format in IMAGE_FORMATS:
        if re.match(image_format.signature, head, re.DOTALL):
            _require_reader(image_format, name)
            return image_format
    raise ImageError(name, f"not an image ({list_formats('or')})")


def camera_raw(kind: str) -> str:
    """The reason for a camera raw of a kind, such as "DNG"."""
    return f"{_RAW}: {kind}"


def _require_reader(image_format: ImageFormat, name: str) -> None:
    if image_format.package is not None and not _add_to_pillow(image_format.package):
        hint = f'pip install "swincli[{image_format.extra}]" reads it'
        raise ImageError(name, f"{image_format.name}, {hint}")
    if image_format.feature is not None and not features.check(image_format.feature):
        raise ImageError(name, f"{image_format.name}, Pillow was built without it")


@cache
def _add_to_pillow(package: str) -> bool:
    """Register the plugin of a package with Pillow; return False if it is not installed."""
    if find_spec(package) is None:
        return False
    import_module(package).register_heif_opener(thumbnails=False, decode_threads=1)  # many are decoded side by side
    return True

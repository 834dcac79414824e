"""Image formats that are read: one table of Pillow's names, names in messages, signatures and file suffixes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from swincli.data.images.rejected import ImageError

HEAD_BYTES: Final = 16  # bytes of a file that `require_image` needs


@dataclass(frozen=True)
class ImageFormat:
    """One format.

    Attributes:
        pillow_name: Pillow's name, such as "WEBP".
        name: The name in messages, such as "WebP".
        signature: Regular expression that the first bytes of a file match.
        suffixes: File suffixes in lower case, with the dot.
    """

    pillow_name: str
    name: str
    signature: bytes
    suffixes: tuple[str, ...]


IMAGE_FORMATS: Final = (
    ImageFormat("PNG", "PNG", rb"\x89PNG\r\n\x1a\n", (".png",)),
    ImageFormat("JPEG", "JPEG", rb"\xff\xd8\xff", (".jpg", ".jpeg")),
    ImageFormat("WEBP", "WebP", rb"RIFF.{4}WEBP", (".webp",)),
    ImageFormat("TIFF", "TIFF", rb"II[*+]\0|MM\0[*+]", (".tif", ".tiff")),
    ImageFormat("BMP", "BMP", rb"BM", (".bmp",)),
    ImageFormat("GIF", "GIF", rb"GIF8[79]a", (".gif",)),
)
PILLOW_NAMES: Final = tuple(image_format.pillow_name for image_format in IMAGE_FORMATS)
SUFFIXES: Final = frozenset(suffix for image_format in IMAGE_FORMATS for suffix in image_format.suffixes)
_SIGNATURE: Final = re.compile(b"|".join(image_format.signature for image_format in IMAGE_FORMATS), re.DOTALL)


def list_formats(conjunction: str) -> str:
    """List the formats in a sentence, such as "PNG, JPEG, WebP, TIFF, BMP or GIF" for the conjunction "or"."""
    *names, last = (image_format.name for image_format in IMAGE_FORMATS)
    return f"{', '.join(names)} {conjunction} {last}"


def require_image(head: bytes, name: str) -> None:
    """Check the signature of a file, so that other files are not read to their end.

    Args:
        head: The first `HEAD_BYTES` bytes of the file.
        name: The name in the error.

    Raises:
        ImageError: The file is empty or has none of the formats.
    """
    if not head:
        raise ImageError(name, "empty file")
    if not _SIGNATURE.match(head):
        raise ImageError(name, f"not an image ({list_formats('or')})")

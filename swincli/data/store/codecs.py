"""Lossless image codecs, PNG and WebP, in memory: the files in encoded stores, zips and folders."""

from __future__ import annotations

from io import BytesIO
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swincli.data.images.png_check import require_whole_png

Encoding = Literal["raw", "png", "webp"]
Lossless = Literal["png", "webp"]

_PNG_LEVEL: Final = 1  # higher levels take several times as long and save a few percent
_WEBP_EFFORT: Final = {"method": 0, "quality": 0}


def encode(pixels: NDArray[np.uint8], encoding: Lossless) -> bytes:
    """Encode an image without loss. The same pixels and version of Pillow give the same bytes.

    Args:
        pixels: uint8 [H, W, 3].
        encoding: The file format.
    """
    buffer, image = BytesIO(), Image.fromarray(pixels)
    if encoding == "png":
        image.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    else:
        image.save(buffer, "WEBP", lossless=True, exact=True, **_WEBP_EFFORT)
    return buffer.getvalue()


def decode_into(data: bytes, encoding: Lossless, out: NDArray[np.uint8]) -> None:
    """Decode a file that `encode` made into an array.

    Args:
        data: The whole file.
        encoding: The file format.
        out: Receives the pixels, uint8 [H, W, 3].

    Raises:
        ValueError: The file is damaged, or its mode or size differs.
    """
    try:
        if encoding == "png":
            require_whole_png(data)
        with Image.open(BytesIO(data), formats=(encoding.upper(),)) as image:
            if (image.mode, image.height, image.width) != ("RGB", *out.shape[:2]):
                raise ValueError(f"{image.mode} of {image.width} x {image.height} px")
            out[:] = np.asarray(image)
    except ValueError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly any exception for damaged files
        raise ValueError(str(error) or type(error).__name__) from error

"""Number of frames or pages of an image file. Of several, the first one is used."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Final

from PIL import Image

_KINDS: Final = ("GIF", "WEBP", "TIFF", "PNG")  # Pillow's names of formats that can hold several


def count_frames(data: bytes, kind: str) -> int:
    """Count the frames of an animation or the pages of a file. Frames are not decoded.

    Args:
        data: The whole file, which can be decoded.
        kind: Pillow's format of the file, such as "GIF".

    Returns:
        At least 1; also 1 if the frames after the first one are damaged.
    """
    if kind not in _KINDS:
        return 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(data), formats=(kind,)) as image:
                return int(getattr(image, "n_frames", 1))
        except Exception:  # Pillow raises nearly any exception for damaged files
            return 1

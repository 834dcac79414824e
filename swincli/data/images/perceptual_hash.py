"""Perceptual hash of an image: a difference hash (dHash) and a 16 x 16 px thumbnail, to find near duplicates.

The dHash shrinks the image to 9 x 8 grey pixels; a bit says whether a pixel is brighter than its left neighbour. The
64 bits survive resizing, compression and small shifts. But two faces in the same light often have the same bits.
Therefore images with similar bits are compared again by the colours of their thumbnails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_HASH: Final = (9, 8)
_COLOURS: Final = 16
_MIN_CONTRAST: Final = 1.0  # standard deviation in levels of 255; avoids a division by 0 for flat images


@dataclass(frozen=True)
class PerceptualHash:
    """Perceptual hash of one image.

    Attributes:
        bits: The 64 bits of the difference hash.
        colours: Thumbnail, uint8 [16, 16, 3].
    """

    bits: int
    colours: NDArray[np.uint8]


def perceptual_hash(pixels: NDArray[np.uint8]) -> PerceptualHash:
    """Compute the perceptual hash of an image.

    Args:
        pixels: uint8 [H, W, 3].
    """
    image = Image.fromarray(pixels)
    grey = np.asarray(image.convert("L").resize(_HASH, Image.Resampling.BOX))
    brighter = np.packbits(grey[:, 1:] > grey[:, :-1])
    colours = np.asarray(image.resize((_COLOURS, _COLOURS), Image.Resampling.BOX))
    return PerceptualHash(int.from_bytes(brighter.tobytes(), "big"), colours)


def hamming_distances(bits: NDArray[np.uint64], one: int) -> NDArray[np.uint8]:
    """Hamming distances between N hashes and another hash.

    Args:
        bits: 64-bit hashes, uint64 [N].
        one: The other 64-bit hash.

    Returns:
        uint8 [N], from 0 to 64.
    """
    counts: NDArray[np.uint8] = np.bitwise_count(bits ^ np.uint64(one))
    return counts


def colour_difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Difference of two thumbnails relative to their contrast.

    Args:
        one: uint8 [16, 16, 3].
        other: uint8 [16, 16, 3].

    Returns:
        Root mean square difference divided by the smaller standard deviation: 0 for equal images, about 1.4 for
        unrelated images.
    """
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(np.sqrt(np.square(a - b).mean()) / max(_MIN_CONTRAST, min(a.std(), b.std())))

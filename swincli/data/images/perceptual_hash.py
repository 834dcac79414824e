"""What a picture looks like in a few hundred bytes, to find pictures that are nearly the same.

Two things are compared. The first is the difference hash (dHash): of 9 x 8 grey pixels, whether each is brighter than
its left neighbour; 64 bits that survive new sizes, compression and small shifts, but are alike for many two faces in
the same light. So pictures whose bits agree are compared once more, by the colours of 16 x 16 px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_HASH: Final = (9, 8)
_COLOURS: Final = 16
_FLAT: Final = 1.0  # the contrast that a picture is taken to have at least, in levels of 255


@dataclass(frozen=True)
class Fingerprint:
    """How a picture looks.

    Attributes:
        bits: The 64 bits of its difference hash.
        colours: uint8 [16, 16, 3].
    """

    bits: int
    colours: NDArray[np.uint8]


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint:
    """Take a picture's fingerprint.

    Args:
        pixels: [H, W, 3].
    """
    image = Image.fromarray(pixels)
    grey = np.asarray(image.convert("L").resize(_HASH, Image.Resampling.BOX))
    brighter = np.packbits(grey[:, 1:] > grey[:, :-1])
    colours = np.asarray(image.resize((_COLOURS, _COLOURS), Image.Resampling.BOX))
    return Fingerprint(int.from_bytes(brighter.tobytes(), "big"), colours)


def differing_bits(bits: NDArray[np.uint64], one: int) -> NDArray[np.uint64]:
    """Count the bits in which hashes differ from one of them.

    Args:
        bits: [N].
        one: A 64-bit hash.

    Returns:
        [N], from 0 to 64.
    """
    x = bits ^ np.uint64(one)  # then ones are added up in fields of 2, 4 and 8 bits, and those by a multiplication
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


def colour_difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """How far two small pictures differ, as a share of the contrast of the flatter one.

    Args:
        one: uint8 [16, 16, 3].
        other: Likewise.

    Returns:
        Root mean square difference over the smaller standard deviation: 0 where they are equal, about 1.4 for pictures
        that have nothing to do with each other.
    """
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(np.sqrt(np.square(a - b).mean()) / max(_FLAT, min(a.std(), b.std())))

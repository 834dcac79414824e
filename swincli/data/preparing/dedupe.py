"""Pictures that have been there before: equal to the last pixel, or looking the same."""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from swincli.data.images.perceptual_hash import Fingerprint, colour_difference, differing_bits

Dedupe = Literal["exact", "near"]

# Of AFHQ's 5,153 cats at 128 px 138 lie within both of an earlier one, and each is the same photograph cut out again,
# or the next one of the same cat. Without the second, about half of the pairs of 8 bits were different cats.
NEAR_BITS: Final = 10
NEAR_COLOURS: Final = 0.4


class Duplicates:
    """Remembers pictures that were kept, and recognises them when they come again; the first one always stays.

    Args:
        dedupe: "exact" knows equal pixels, "near" also what looks the same; None knows nothing.
    """

    def __init__(self, dedupe: Dedupe | None) -> None:
        self._dedupe = dedupe
        self._exact: dict[bytes, str] = {}
        self._names: list[str] = []
        self._colours: list[NDArray[np.uint8]] = []
        self._bits = np.empty(64, np.uint64)

    def find(self, name: str, pixels: NDArray[np.uint8], look: Fingerprint | None) -> tuple[str, str] | None:
        """Look for a picture that was kept before; keep this one if there is none.

        Args:
            name: Its name.
            pixels: uint8 [H, W, 3].
            look: Its fingerprint, which "near" needs.

        Returns:
            The name of the picture kept before, and what is to be said of this one; None if it is new.
        """
        if self._dedupe is None:
            return None
        digest = hashlib.sha256(pixels.tobytes()).digest()
        first = self._exact.setdefault(digest, name)
        if first != name:
            return first, f"duplicate of {first}"
        if self._dedupe == "exact":
            return None
        assert look is not None
        near = self._nearest(look)
        if near is not None:
            first, bits = near
            self._exact[digest] = first  # what equals this one is named after the one that was kept
            return first, f"near duplicate of {first} ({bits} of 64 bits differ)"
        self._keep(name, look)
        return None

    def _nearest(self, look: Fingerprint) -> tuple[str, int] | None:
        """Of the pictures within both bounds, the one that differs in the fewest bits; the earlier of several."""
        distances = differing_bits(self._bits[: len(self._names)], look.bits)
        within = np.flatnonzero(distances <= NEAR_BITS)
        for index in within[np.argsort(distances[within], kind="stable")].tolist():
            if colour_difference(self._colours[index], look.colours) <= NEAR_COLOURS:
                return self._names[index], int(distances[index])
        return None

    def _keep(self, name: str, look: Fingerprint) -> None:
        count = len(self._names)
        if count == len(self._bits):
            self._bits = np.concatenate([self._bits, np.empty(count, np.uint64)])
        self._bits[count] = look.bits
        self._names.append(name)
        self._colours.append(look.colours)

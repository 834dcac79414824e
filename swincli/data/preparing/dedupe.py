"""Duplicate detection: exact (equal pixels) and near (similar perceptual hash)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from swincli.data.images.perceptual_hash import PerceptualHash, colour_difference, hamming_distances
from swincli.data.store.manifest import Dedupe

# AFHQ has 5,153 cats. At 128 px, 138 of them are within both limits of an earlier one. Each of these is the same
# photograph with another crop, or the next one of the same cat. Without NEAR_COLOURS, about half of the pairs at 8 bits
# were different cats.
NEAR_BITS: Final = 10
NEAR_COLOURS: Final = 0.4


class DuplicateFinder:
    """Finds duplicates of the pictures that were kept before. The first of several duplicates is kept.

    Args:
        dedupe: "exact" finds equal pixels. "near" also finds pictures that look the same. None finds nothing.
    """

    def __init__(self, dedupe: Dedupe | None) -> None:
        self._dedupe = dedupe
        self._exact: dict[bytes, tuple[str, str]] = {}  # by SHA-256 of the pixels: the kept picture, and the reason
        self._names: list[str] = []
        self._colours: list[NDArray[np.uint8]] = []
        self._bits = np.empty(64, np.uint64)

    def find(self, name: str, digest: bytes | None, perceptual_hash: PerceptualHash | None) -> tuple[str, str] | None:
        """Find a kept picture that this one duplicates. Without one, this picture is remembered as kept.

        Args:
            name: Name of the picture.
            digest: SHA-256 of its pixels, required for "exact" and "near".
            perceptual_hash: Its perceptual hash, required for "near".

        Returns:
            Name of the kept picture, and the reason for the manifest; None if this picture is new.
        """
        if self._dedupe is None:
            return None
        assert digest is not None
        known = self._exact.setdefault(digest, (name, f"duplicate of {name}"))
        if known[0] != name:
            return known
        if self._dedupe == "exact":
            return None
        assert perceptual_hash is not None
        near = self._nearest(perceptual_hash)
        if near is not None:
            first, bits = near
            self._exact[digest] = first, f"near duplicate of {first} ({bits} of 64 bits differ)"  # also of exact copies
            return self._exact[digest]
        self._keep(name, perceptual_hash)
        return None

    def _nearest(self, perceptual_hash: PerceptualHash) -> tuple[str, int] | None:
        """Of the kept pictures within both limits, the one with the fewest differing bits, and of these the first."""
        distances = hamming_distances(self._bits[: len(self._names)], perceptual_hash.bits)
        within = np.flatnonzero(distances <= NEAR_BITS)
        for index in within[np.argsort(distances[within], kind="stable")].tolist():
            if colour_difference(self._colours[index], perceptual_hash.colours) <= NEAR_COLOURS:
                return self._names[index], int(distances[index])
        return None

    def _keep(self, name: str, perceptual_hash: PerceptualHash) -> None:
        count = len(self._names)
        if count == len(self._bits):
            self._bits = np.concatenate([self._bits, np.empty(count, np.uint64)])
        self._bits[count] = perceptual_hash.bits
        self._names.append(name)
        self._colours.append(perceptual_hash.colours)

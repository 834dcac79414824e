"""Spreading pictures over parts such as train and test, each by its own content, so that parts stay as data grows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Split:
    """Parts and their shares.

    Attributes:
        shares: The share of each part by its name, together 1.
    """

    shares: dict[str, float]

    def part_of(self, digest: bytes) -> str:
        """Decide where a picture goes: its hash, read as a number from 0 to 1, falls into the share of one part.

        Neither its name nor its neighbours matter, so a picture keeps its part when others come or go, and files with
        the same bytes are never on both sides.

        Args:
            digest: SHA-256 of the file's bytes.
        """
        place = int.from_bytes(digest[:8], "big") / 2**64
        for name, end in zip(self.shares, accumulate(self.shares.values()), strict=True):
            if place < end:
                return name
        return list(self.shares)[-1]  # shares that add up to a little less than 1


def parse_split(text: str) -> Split:
    """Read parts and their shares: "train:0.9,test:0.1".

    Raises:
        ValueError: malformed, a name twice or unfit for a folder, or shares that do not add up to 1.
    """
    shares: dict[str, float] = {}
    for piece in text.split(","):
        name, _, number = (word.strip() for word in piece.partition(":"))
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name):
            raise ValueError(f"{name!r} is no name of a part")
        try:
            share = float(number)
        except ValueError:
            raise ValueError(f"{piece.strip()!r} has no share") from None
        if not 0 < share < 1:
            raise ValueError(f"the share of {name} is not between 0 and 1")
        if name.lower() in map(str.lower, shares):
            raise ValueError(f"{name} is named twice")
        shares[name] = share
    total = math.fsum(shares.values())
    if abs(total - 1) > 1e-6:
        raise ValueError(f"the shares add up to {total:g} and not to 1")
    return Split(shares)

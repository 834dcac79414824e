"""Train/test splits by the hash of each file, so that a picture keeps its part when the data set grows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Split:
    """Parts of a data set and their shares.

    Attributes:
        shares: Share of each part by its name. The sum is 1.
    """

    shares: dict[str, float]

    def part_of(self, digest: bytes) -> str:
        """Choose the part of a picture: its hash, as a number from 0 to 1, falls into the share of one part.

        Its name and the other pictures do not matter. So a picture keeps its part when others are added or removed, and
        equal files are always in the same part.

        Args:
            digest: SHA-256 of the file.
        """
        place = int.from_bytes(digest[:8], "big") / 2**64
        for name, end in zip(self.shares, accumulate(self.shares.values()), strict=True):
            if place < end:
                return name
        return list(self.shares)[-1]  # rounding: the sum can be slightly less than 1


def parse_split(text: str) -> Split:
    """Parse parts and their shares, such as "train:0.9,test:0.1".

    Raises:
        ValueError: The text is malformed, a name is repeated or cannot be a folder's name, or the sum is not 1.
    """
    shares: dict[str, float] = {}
    for piece in text.split(","):
        name, _, number = (word.strip() for word in piece.partition(":"))
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name):
            raise ValueError(f"{name!r} is not a valid name of a part")
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
        raise ValueError(f"the shares add up to {total:g}, not 1")
    return Split(shares)

"""Splits by the hash of each file, so that a picture keeps its part when the set grows, or by words of captions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Split:
    """Parts of a data set and their shares.

    Attributes:
        shares: Share of each part by its name. The sum is 1.
    """

    shares: dict[str, float]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts."""
        return tuple(self.shares)

    def part_of(self, digest: bytes, captions: Sequence[str]) -> str:  # noqa: ARG002
        """Choose the part of a picture: its hash, as a number from 0 to 1, falls into the share of one part.

        Its name and the other pictures do not matter. So a picture keeps its part when others are added or removed, and
        equal files are always in the same part.

        Args:
            digest: SHA-256 of the file.
            captions: Its captions, which do not matter.
        """
        place = int.from_bytes(digest[:8], "big") / 2**64
        for name, end in zip(self.shares, accumulate(self.shares.values()), strict=True):
            if place < end:
                return name
        return list(self.shares)[-1]  # rounding: the sum can be slightly less than 1


@dataclass(frozen=True)
class HeldOut:
    """Words that no caption of the training part has together. Pictures with such a caption are the other part.

    Each word of a combination occurs in training, so that a model that draws the combination has composed it.

    Attributes:
        combinations: Words or phrases in lower case, two or more that belong together.
    """

    combinations: tuple[tuple[str, ...], ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts."""
        return "train", "held-out"

    def part_of(self, digest: bytes, captions: Sequence[str]) -> str:  # noqa: ARG002
        """Choose the part of a picture by its captions; the hash of its file does not matter."""
        return self.parts[any(self.has(caption) for caption in captions)]

    def has(self, caption: str) -> bool:
        """Whether a caption has all words of a combination."""
        return any(all(has_words(caption, word) for word in words) for words in self.combinations)


def has_words(text: str, words: str) -> bool:
    """Whether a text has some words, one after the other, in any case."""
    return _spaced(words) in _spaced(text)


def _spaced(text: str) -> str:
    """The words of a text in lower case, each between spaces."""
    return " " + " ".join(re.findall(r"[^\W_]+", text.lower())) + " "


def parse_held_out(text: str) -> HeldOut:
    """Parse combinations of words, such as "orange + red hat, grey + monocle".

    Raises:
        ValueError: A combination is not of two words or more.
    """
    combinations = [tuple(word.strip().lower() for word in piece.split("+")) for piece in text.split(",")]
    for words in combinations:
        if len(words) < 2 or not all(_spaced(word).strip() for word in words):
            raise ValueError(f"{'+'.join(words)!r} is not a combination of two words or more")
    return HeldOut(tuple(combinations))


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

"""What is known of a pile of pictures once all of it has gone by: counts, what was left out, a few examples."""

from __future__ import annotations

from collections import Counter
from typing import Any

from swincli.data.images.rejected import Rejected
from swincli.data.preparing.seen import Seen

EXAMPLES = 96  # pictures to look at, at most


class Survey:
    """Takes in one file after the other, in the order of names, and keeps counts.

    Of the pictures themselves it keeps nothing, and of the names only those that were left out and a few examples, so
    that its memory does not grow with the pictures that were kept.

    Attributes:
        files: All that were looked at.
        kept: Pictures among them that were taken.
        upscaled: Of those, how many were enlarged.
        kinds: Files by kind, such as "PNG".
        modes: Pictures by the mode of their file, such as "RGB" or "L".
        sizes: Pictures by (width, height).
        labels: Pictures that were taken, by label.
        parts: Likewise by part, where there are several.
        left_out: Everything else.
    """

    def __init__(self) -> None:
        self.files = self.kept = self.upscaled = 0
        self.kinds: Counter[str] = Counter()
        self.modes: Counter[str] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.labels: Counter[str] = Counter()
        self.parts: Counter[str] = Counter()
        self.left_out: list[Seen] = []
        self._examples: list[str] = []
        self._every = 1

    def add(self, seen: Seen) -> None:
        """Take in the next file."""
        self.files += 1
        if seen.kind is not None:
            self.kinds[seen.kind] += 1
        if seen.mode is not None:
            self.modes[seen.mode] += 1
        if seen.width is not None and seen.height is not None:
            self.sizes[seen.width, seen.height] += 1
        if seen.reason is not None:
            self.left_out.append(seen)
            return
        if self.kept % self._every == 0:
            self._examples.append(seen.name)
        self.kept += 1
        self.upscaled += seen.upscaled
        if seen.label is not None:
            self.labels[seen.label] += 1
        if seen.part:
            self.parts[seen.part] += 1
        if len(self._examples) == 2 * EXAMPLES:
            self._examples = self._examples[::2]
            self._every *= 2

    @property
    def examples(self) -> list[str]:
        """Names of pictures that were taken, spread evenly over all: all where they are few."""
        found = self._examples
        if len(found) <= EXAMPLES:
            return list(found)
        return [found[place * len(found) // EXAMPLES] for place in range(EXAMPLES)]

    @property
    def duplicates(self) -> list[Seen]:
        """Pictures in whose place another one was kept."""
        return [seen for seen in self.left_out if seen.same_as is not None]

    def by_reason(self) -> dict[str, list[Seen]]:
        """What was left out by the kind of the reason, the most frequent first."""
        kinds: dict[str, list[Seen]] = {}
        for seen in self.left_out:
            kinds.setdefault(Rejected(seen.name, seen.reason or "").kind, []).append(seen)
        return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))

    def shorter_sides(self) -> list[tuple[str, int]]:
        """Pictures by their shorter side, from one power of two to the next, such as ("256 to 511 px", 37)."""
        octaves: Counter[int] = Counter()
        for (width, height), count in self.sizes.items():
            octaves[min(width, height).bit_length()] += count
        if not octaves:
            return []
        spans = range(min(octaves), max(octaves) + 1)
        names = {bits: f"{2 ** (bits - 1):,} to {2**bits - 1:,} px" for bits in spans} | {1: "1 px"}
        return [(names[bits], octaves[bits]) for bits in spans]

    def as_json(self) -> dict[str, Any]:
        """Plain values: counts of files, reasons, kinds, modes, sizes and labels."""
        return {
            "files": self.files,
            "reasons": {kind: len(seen) for kind, seen in self.by_reason().items()},
            "kinds": dict(self.kinds.most_common()),
            "modes": dict(self.modes.most_common()),
            "shorter_sides": dict(self.shorter_sides()),
            "sizes": [[width, height, count] for (width, height), count in self.sizes.most_common(20)],
            "labels": dict(sorted(self.labels.items())),
        }

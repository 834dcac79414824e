"""Facts of source files: `SourceRecord` for one file, `Survey` with the counts over all files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from swincli.data.images.rejected import Rejected

EXAMPLES = 96  # largest number of example pictures


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One file of a source, and whether it became an image.

    Attributes:
        name: Its path inside the source.
        size: Size of the file in bytes; None if it could not be read.
        digest: SHA-256 of the file; None if it could not be read.
        width: Upright width in pixels, before the crop; None if it could not be decoded.
        height: Upright height in pixels, likewise.
        mode: Pillow's mode of the file, such as "RGB", "L", "P", "CMYK" or "I;16".
        kind: Pillow's format, such as "PNG" or "JPEG".
        frames: Number of frames of an animation, or of pages. The first one is used.
        upscaled: Whether the crop was smaller than the resolution.
        generated: IPTC's term by which it says that a trained algorithm made it, at least in part; else None.
        label: Name of its label; None without labels.
        reason: Why it was skipped; None if it was not.
        same_as: Name of the picture that it duplicates; None if it is no duplicate.
        part: Name of its part of the split; empty without a split.
        place: Index of the image in the store, or in the store of its part; None if it was skipped.
    """

    name: str
    size: int | None = None
    digest: bytes | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    kind: str | None = None
    frames: int = 1
    upscaled: bool = False
    generated: str | None = None
    label: str | None = None
    reason: str | None = None
    same_as: str | None = None
    part: str = ""
    place: int | None = None

    @property
    def kept(self) -> bool:
        """Whether it became an image of the store."""
        return self.place is not None


class Survey:
    """Counts over all files of a source, added one by one in the order of their names.

    It keeps the records of skipped files and the names of a few examples. So its memory does not grow with the number
    of kept pictures.

    Attributes:
        files: Number of files.
        kept: Number of pictures that became images.
        upscaled: Number of kept pictures whose crop was smaller than the resolution.
        kinds: Files by kind, such as "PNG".
        modes: Pictures by Pillow's mode, such as "RGB" or "L".
        sizes: Pictures by (width, height).
        labels: Kept pictures by label.
        parts: Kept pictures by part of the split.
        several_frames: Number of pictures with several frames or pages, of which the first is used.
        first_animations: Names of the first of them.
        generated: Kept pictures by the IPTC term with which they say that a trained algorithm made them.
        first_generated: Names of the first of them.
        skipped: Records of the files that were skipped.
    """

    def __init__(self) -> None:
        self.files = self.kept = self.upscaled = self.several_frames = 0
        self.first_animations: list[str] = []
        self.first_generated: list[str] = []
        self.generated: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.modes: Counter[str] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.labels: Counter[str] = Counter()
        self.parts: Counter[str] = Counter()
        self.skipped: list[SourceRecord] = []
        self._examples: list[str] = []
        self._every = 1

    def add(self, record: SourceRecord) -> None:
        """Add the next file."""
        self.files += 1
        if record.kind is not None:
            self.kinds[record.kind] += 1
        if record.mode is not None:
            self.modes[record.mode] += 1
        if record.width is not None and record.height is not None:
            self.sizes[record.width, record.height] += 1
        if record.frames > 1:
            self.several_frames += 1
            if len(self.first_animations) < EXAMPLES:
                self.first_animations.append(record.name)
        if record.reason is not None:
            self.skipped.append(record)
            return
        if self.kept % self._every == 0:
            self._examples.append(record.name)
        self.kept += 1
        self.upscaled += record.upscaled
        if record.generated is not None:
            self.generated[record.generated] += 1
            if len(self.first_generated) < EXAMPLES:
                self.first_generated.append(record.name)
        if record.label is not None:
            self.labels[record.label] += 1
        if record.part:
            self.parts[record.part] += 1
        if len(self._examples) == 2 * EXAMPLES:
            self._examples = self._examples[::2]
            self._every *= 2

    @property
    def examples(self) -> list[str]:
        """Names of at most `EXAMPLES` kept pictures, evenly spread over all."""
        found = self._examples
        if len(found) <= EXAMPLES:
            return list(found)
        return [found[place * len(found) // EXAMPLES] for place in range(EXAMPLES)]

    @property
    def duplicates(self) -> list[SourceRecord]:
        """Records of skipped duplicates."""
        return [record for record in self.skipped if record.same_as is not None]

    def by_reason(self) -> dict[str, list[SourceRecord]]:
        """Skipped files by kind of reason, the most frequent first."""
        kinds: dict[str, list[SourceRecord]] = {}
        for record in self.skipped:
            kinds.setdefault(Rejected(record.name, record.reason or "").kind, []).append(record)
        return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))

    def shorter_sides(self) -> list[tuple[str, int]]:
        """Histogram of the shorter side in powers of two, such as ("256 to 511 px", 37)."""
        octaves: Counter[int] = Counter()
        for (width, height), count in self.sizes.items():
            octaves[min(width, height).bit_length()] += count
        if not octaves:
            return []
        spans = range(min(octaves), max(octaves) + 1)
        names = {bits: f"{2 ** (bits - 1):,} to {2**bits - 1:,} px" for bits in spans} | {1: "1 px"}
        return [(names[bits], octaves[bits]) for bits in spans]

    def as_json(self) -> dict[str, Any]:
        """JSON values: counts of files, reasons, kinds, modes, sizes and labels."""
        return {
            "files": self.files,
            "reasons": {kind: len(records) for kind, records in self.by_reason().items()},
            "kinds": dict(self.kinds.most_common()),
            "modes": dict(self.modes.most_common()),
            "shorter_sides": dict(self.shorter_sides()),
            "sizes": [[width, height, count] for (width, height), count in self.sizes.most_common(20)],
            "labels": dict(sorted(self.labels.items())),
            "several_frames": self.several_frames,
            "generated": dict(self.generated.most_common()),
        }

"""The loop over a source: decode every picture, find duplicates, write images to their part, count rejections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from swincli.console import Console
from swincli.data.images.formats import list_formats
from swincli.data.images.rejected import Rejected
from swincli.data.preparing.decode_crop import NOT_SQUARE, DecodedPicture
from swincli.data.preparing.dedupe import DuplicateFinder
from swincli.data.preparing.options import PreparePlan
from swincli.data.preparing.survey import SourceRecord
from swincli.data.preparing.workers import decode_all
from swincli.data.sources.entries import Source
from swincli.data.store.manifest import Dedupe
from swincli.data.store.writers import ImageSink
from swincli.errors import DataError
from swincli.units import format_names

OnRecord = Callable[[SourceRecord], None]
"""Called with the record of each file after the file was written or skipped."""


@dataclass(frozen=True)
class IngestOptions:
    """When the loop stops, and which files it skips.

    Attributes:
        max_images: Stop after this number of images; None for no limit.
        stop_on_error: Stop with an error at the first file that cannot be decoded.
        dedupe: Which duplicates are skipped; None for none.
        workers: Number of worker processes; None for one per core.
    """

    max_images: int | None
    stop_on_error: bool
    dedupe: Dedupe | None
    workers: int | None


@dataclass
class PartCounts:
    """Counts of one part of the split.

    Attributes:
        labels: Label names of its images; empty without labels.
        upscaled: Number of images whose crop was smaller than the resolution.
        generated: Images that say that a trained algorithm made them, by IPTC's term.
    """

    labels: list[str] = field(default_factory=list)
    upscaled: int = 0
    generated: Counter[str] = field(default_factory=Counter)

    @property
    def facts(self) -> dict[str, Any]:
        """The counts that a manifest has."""
        return {"upscaled": self.upscaled, "generated": dict(sorted(self.generated.items()))}


@dataclass
class _State:
    """State of the loop."""

    parts: dict[str, PartCounts]
    rejected: list[Rejected] = field(default_factory=list)
    not_square: list[SourceRecord] = field(default_factory=list)
    images: int = 0


def ingest(
    source: Source,
    labels: Mapping[str, str] | None,
    plan: PreparePlan,
    options: IngestOptions,
    sinks: Mapping[str, ImageSink],
    on_record: OnRecord,
    console: Console,
) -> tuple[dict[str, PartCounts], list[Rejected]]:
    """Write every usable picture of a source, in the order of names.

    Args:
        source: The source.
        labels: Label names by names of entries; None for no labels.
        plan: How pictures are decoded, and the split.
        options: When to stop, and what to skip.
        sinks: Where the images of each part go, by the name of the part.
        on_record: Called with the record of each file after the file was written or skipped.
        console: Shows progress, and how the source was read.

    Returns:
        Counts of each part by its name, and the rejected files.

    Raises:
        DataError: A file cannot be decoded and `stop_on_error` is set, pictures are not square and the crop is "none",
            or no picture is usable.
    """
    for note in source.notes:
        console.say(note)
    for warning in source.warnings:
        console.warn(warning)
    state = _State({part: PartCounts() for part in plan.parts})
    finder = DuplicateFinder(options.dedupe)
    with console.progress("Preparing", len(source)) as advance:
        decoded = decode_all(source.entries, plan.decode, options.workers)
        try:
            for picture in decoded:
                advance()
                if options.stop_on_error and picture.record.width is None:
                    hint = "Repair or remove the file, or skip such files with --on-error skip."
                    raise DataError(f"{source.locate(picture.record.name)}: {picture.record.reason}", hint)
                on_record(_write_or_reject(picture, labels, plan, finder, sinks, state))
                if state.images == options.max_images:
                    break
        finally:
            decoded.close()  # stops the processes now; the garbage collector would do so later
    if state.not_square:
        raise _not_square_error(state.not_square)
    if not state.images:
        raise _nothing_usable(source, state.rejected)
    return state.parts, state.rejected


def _write_or_reject(
    picture: DecodedPicture,
    labels: Mapping[str, str] | None,
    plan: PreparePlan,
    finder: DuplicateFinder,
    sinks: Mapping[str, ImageSink],
    state: _State,
) -> SourceRecord:
    """Write a picture or reject it, count it, and return its completed record."""
    record = picture.record if labels is None else replace(picture.record, label=labels.get(picture.record.name))
    if picture.pixels is not None and not state.not_square:
        duplicate = finder.find(record.name, picture.digest, picture.perceptual_hash)
        if duplicate is None:
            return _write(picture, record, plan, sinks, state)
        record = replace(record, same_as=duplicate[0], reason=duplicate[1])
    if record.reason is not None:
        state.rejected.append(Rejected(record.name, record.reason))
        if record.reason.startswith(NOT_SQUARE):
            state.not_square.append(record)
    return record


def _write(
    picture: DecodedPicture, record: SourceRecord, plan: PreparePlan, sinks: Mapping[str, ImageSink], state: _State
) -> SourceRecord:
    assert picture.pixels is not None
    assert record.digest is not None
    part = "" if plan.split is None else plan.split.part_of(record.digest)
    written = replace(record, part=part, place=sinks[part].images)
    sinks[part].add(picture.pixels, picture.encoded)
    state.images += 1
    state.parts[part].upscaled += record.upscaled
    if record.generated is not None:
        state.parts[part].generated[record.generated] += 1
    if record.label is not None:
        state.parts[part].labels.append(record.label)
    return written


def _not_square_error(records: list[SourceRecord]) -> DataError:
    named = format_names([f"{record.name} ({record.width} x {record.height})" for record in records])
    count = f"{len(records):,} pictures are" if len(records) > 1 else "1 picture is"
    hint = "Crop a square with --crop center or random, or use --crop center-wide for 4:3 with black bars."
    return DataError(f"{count} not square: {named}", hint)


def _nothing_usable(source: Source, rejected: list[Rejected]) -> DataError:
    first = rejected[0]
    count = f"{len(rejected):,} files" if len(rejected) > 1 else "1 file"
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in Counter(item.kind for item in rejected).most_common())
    message = f"{source.text}: no usable picture among {count} ({kinds}); {first.source}: {first.reason}"
    return DataError(message, f"Supported formats: {list_formats('and')}.")

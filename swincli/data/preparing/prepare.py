"""`prepare`: make a store, a StyleGAN zip or a folder from a source of pictures."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from swincli.console import Console
from swincli.data.images.colour import spell_colour
from swincli.data.images.formats import SUFFIXES
from swincli.data.images.rejected import Rejected
from swincli.data.preparing.attribute_kinds import TypedColumns, encode_columns, wanted_attributes
from swincli.data.preparing.captions import TextEncoder, Texts, caption_place, encode_captions, wanted_captions
from swincli.data.preparing.ingest import IngestOptions, OnRecord, PartCounts, ingest
from swincli.data.preparing.labels import label_place, number_labels, renumbered, wanted_labels
from swincli.data.preparing.options import PrepareOptions, PreparePlan, make_plan
from swincli.data.preparing.survey import SourceRecord
from swincli.data.sources import open_source, printable
from swincli.data.sources.entries import Source
from swincli.data.store.attribute_values import AttributeValues
from swincli.data.store.captions import Captions
from swincli.data.store.manifest import CHANNELS, Provenance
from swincli.data.store.staging import check_destination, check_kept, check_outside, check_space, staged
from swincli.data.store.writers import ImageWriter, open_writer
from swincli.errors import DataError, from_os_error
from swincli.version import __version__

__all__ = ["PrepareOptions", "PrepareResult", "open_checked", "prepare", "prepare_opened"]

_COMPRESSION = 4  # the check of free space assumes that lossless files need at least 1/4 of the raw size


@dataclass(frozen=True)
class PrepareResult:
    """Result of `prepare`.

    Attributes:
        path: The store, zip or folder.
        manifests: Manifest of each part by its name; without a split, one manifest with an empty name.
        size: Size on the disk in bytes.
    """

    path: Path
    manifests: dict[str, Provenance]
    size: int

    @property
    def manifest(self) -> Provenance:
        """Manifest of the only part, or of the first part."""
        return next(iter(self.manifests.values()))

    @property
    def images(self) -> int:
        """Number of images in all parts."""
        return sum(manifest.images for manifest in self.manifests.values())

    @property
    def rejected(self) -> list[Rejected]:
        """Rejected files and the reasons."""
        return self.manifest.rejected


def prepare(
    source: str,
    dest: Path,
    options: PrepareOptions,
    console: Console,
    on_record: OnRecord | None = None,
    encoder: TextEncoder | None = None,
) -> PrepareResult:
    """Make a store from the pictures of a source. It appears at `dest` complete or not at all.

    Args:
        source: A path or name that `open_source` accepts.
        dest: The new folder or zip. With a split, a folder with one store, zip or folder per part.
        options: All options.
        console: Shows progress, warnings and the credit of built-in pictures.
        on_record: Called with the record of each file after the file was written or skipped.
        encoder: Encodes captions; needed with `options.captions`.

    Raises:
        UsageError: A resolution, count, colour, split or destination is invalid, or what is read lies in the
            destination.
        DataError: No picture is usable, a file cannot be decoded and `stop_on_error` is set, pictures are not square
            and the crop is "none", labels are missing, a part is empty, or the destination exists.
        ResourceError: No space, no permission, or a worker process died.
    """
    with open_checked(source, dest, options) as opened:
        return prepare_opened(opened, dest, options, console, on_record, encoder)


def open_checked(source: str, dest: Path, options: PrepareOptions) -> Source:
    """Check the options and the destination, then open the source; raises as `prepare`."""
    plan = make_plan(options)
    check_outside(dest, source)
    check_destination(dest, force=options.force, as_file=_is_one_file(options, plan))
    return open_source(source, options.resolution)


def prepare_opened(
    source: Source,
    dest: Path,
    options: PrepareOptions,
    console: Console,
    on_record: OnRecord | None = None,
    encoder: TextEncoder | None = None,
) -> PrepareResult:
    """`prepare` with a source of `open_checked`, which stays open."""
    plan = make_plan(options)
    as_file = _is_one_file(options, plan)
    labels = wanted_labels(options.labels, source, console, attributes=bool(options.label_kinds))
    attributes = wanted_attributes(labels, options, console)
    named = labels if isinstance(labels, dict) else None
    captions = wanted_captions(options.captions, source, named or attributes, console, options.word_dropout)
    _check_kept(source, dest, options)
    _check_space(source, dest, options, plan)
    try:
        with staged(dest, force=options.force, as_file=as_file) as place:
            known = _Known(named, attributes, captions, encoder)
            manifests = _build(place, source, known, options, plan, on_record or _ignore, console)
            files = place.rglob("*") if place.is_dir() else [place]
            size = sum(file.stat().st_size for file in files if file.is_file())
    except OSError as error:
        raise from_os_error(error, f"writing {dest}") from error
    result = PrepareResult(dest, manifests, size)
    _warn(result, options, console)
    return result


def _is_one_file(options: PrepareOptions, plan: PreparePlan) -> bool:
    return options.format == "zip" and plan.split is None


def _expected_images(source: Source, options: PrepareOptions) -> int:
    """Number of images if every file with the suffix of a picture becomes one."""
    pictures = sum(source.all_pictures or PurePosixPath(entry.name).suffix.lower() in SUFFIXES for entry in source)
    return pictures if options.max_images is None else min(pictures, options.max_images)


def _check_kept(source: Source, dest: Path, options: PrepareOptions) -> None:
    """Check that no picture and no file of labels or captions lies in an earlier result, which is replaced."""
    if not dest.resolve().exists():
        return
    pictures = {entry.file: f"{source.text}: {entry.name}" for entry in source if entry.file is not None}
    places = {"--labels": label_place(options.labels, source), "--captions": caption_place(options.captions, source)}
    tables = {Path(place): f"{option} {place}" for option, place in places.items() if place is not None}
    check_kept(dest, pictures | tables)


def _check_space(source: Source, dest: Path, options: PrepareOptions, plan: PreparePlan) -> None:
    """Check that what will at least be written fits on the disk. Files without a picture's suffix do not count."""
    most = _expected_images(source, options)
    needed = most * options.resolution**2 * CHANNELS // (1 if plan.decode.encoding == "raw" else _COMPRESSION)
    check_space(dest, needed, f"{most:,} images at {options.resolution} px")


def _ignore(_: SourceRecord) -> None:
    pass


def _warn(result: PrepareResult, options: PrepareOptions, console: Console) -> None:
    upscaled = sum(manifest.upscaled for manifest in result.manifests.values())
    if upscaled:
        console.warn(
            f"{upscaled:,} of {result.images:,} images were smaller than {options.resolution} px and were enlarged; "
            f"they have no detail at that size. --min-size {options.resolution} skips them."
        )
    generated = sum(manifest.generated_images for manifest in result.manifests.values())
    warn_of_generated(generated, result.images, console)
    names = result.manifest.label_names
    if names is not None and len(names) == 1:
        console.warn(f"all images have the same label, {names[0]}")
    if names is not None and (other := renumbered(names)):
        console.warn(f"labels are numbered 0, 1, 2, ... without gaps, so their numbers change: {other}")
    if result.manifest.credit:
        console.say(f"Credit: {result.manifest.credit}")


def warn_of_generated(number: int, images: int, console: Console) -> None:
    """Warn if pictures say in their metadata that a trained algorithm made them."""
    if number:
        one = number == 1
        says = "1 picture says" if one else f"{number:,} pictures say"
        console.warn(
            f"{says} in the metadata that a trained algorithm made {'it' if one else 'them'}, of {images:,}; "
            "a model learns the faults of generated pictures"
        )


@dataclass(frozen=True)
class _Known:
    """What is known of the pictures.

    Attributes:
        labels: Label names by names of entries; None without labels.
        attributes: The columns of a table; None without attributes.
        captions: Captions by names of entries; None without captions.
        encoder: Encodes the captions.
    """

    labels: dict[str, str] | None
    attributes: TypedColumns | None
    captions: Texts | None
    encoder: TextEncoder | None


def _build(
    place: Path,
    source: Source,
    known: _Known,
    options: PrepareOptions,
    plan: PreparePlan,
    on_record: OnRecord,
    console: Console,
) -> dict[str, Provenance]:
    """Write all parts; return their manifests by name."""
    with ExitStack() as stack:
        expected = _expected_images(source, options)
        writers = {part: stack.enter_context(_open_part(place, part, options, expected)) for part in plan.parts}
        limits = IngestOptions(options.max_images, options.stop_on_error, options.dedupe, options.workers)
        parts, rejected = ingest(source, known.labels, known.captions, plan, limits, writers, on_record, console)
        for part, writer in writers.items():
            if not writer.images:
                option, hint = "--split", "Give it a larger share, or prepare more pictures."
                if options.hold_out is not None:
                    option, hint = "--hold-out", "Hold out words that some captions have together, and not all."
                raise DataError(f"{option}: part {part} has no picture", hint)
        texts = dict.fromkeys(parts) if known.captions is None else _encode(parts, known.encoder, console)
        numbers, names = _number_labels(parts) if known.labels is not None else (dict.fromkeys(parts), None)
        values = {} if known.attributes is None else _attributes_of_parts(known.attributes, parts, console)
        facts = {
            "crop": options.crop,
            "filter": options.filter,
            "gamma": options.gamma,
            "background": spell_colour(plan.decode.background),
            "jpeg": options.jpeg,
            "min_size": options.min_size,
            "source": printable(source.text),
            "max_images": options.max_images,
            "dedupe": options.dedupe,
            "split": options.split or (options.hold_out and f"held out: {options.hold_out}"),
            "label_names": names,
            "rejected": rejected,
            "credit": source.credit,
            "versions": {"swincli": __version__, "pillow": version("pillow")},
        }
        return {
            part: writer.finish(
                numbers[part], facts | {"part": part or None, **parts[part].facts}, values.get(part), texts[part]
            )
            for part, writer in writers.items()
        }


def _attributes_of_parts(
    attributes: TypedColumns, parts: dict[str, PartCounts], console: Console
) -> dict[str, AttributeValues]:
    """The attributes of the images of each part; values, their numbers and ranges are those of all parts together."""
    names = [name for counts in parts.values() for name in counts.names]
    values = encode_columns(attributes.columns.only(names), attributes.kinds, console)
    ends = np.cumsum([0, *(len(counts.names) for counts in parts.values())]).tolist()
    return {part: values.take(slice(*place)) for part, place in zip(parts, pairwise(ends), strict=True)}


def _encode(parts: dict[str, PartCounts], encoder: TextEncoder | None, console: Console) -> dict[str, Captions | None]:
    """The captions of each part. All parts together have one centre."""
    assert encoder is not None
    whole = encode_captions([texts for counts in parts.values() for texts in counts.captions], encoder, console)
    ends = np.cumsum([0, *(len(counts.captions) for counts in parts.values())]).tolist()
    if len(parts) == 1:
        return dict.fromkeys(parts, whole)
    return {part: whole.take(np.arange(*span)) for part, span in zip(parts, pairwise(ends), strict=True)}


def _open_part(place: Path, part: str, options: PrepareOptions, expected: int) -> AbstractContextManager[ImageWriter]:
    if part:
        place /= f"{part}.zip" if options.format == "zip" else part
        if options.format != "zip":
            place.mkdir()
    return open_writer(place, options.resolution, options.format, options.encoding, None if part else expected)


def _number_labels(parts: dict[str, PartCounts]) -> tuple[dict[str, NDArray[np.int64] | None], list[str]]:
    """Number the labels of all parts together; return the numbers by part, and the name of each number."""
    numbers, names = number_labels([label for counts in parts.values() for label in counts.labels])
    ends = np.cumsum([0, *(len(counts.labels) for counts in parts.values())]).tolist()
    return {part: numbers[start:end] for part, (start, end) in zip(parts, pairwise(ends), strict=True)}, names

"""The whole way from a source of pictures to a store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swincli import __version__
from swincli.console import Console
from swincli.data.entries import Source
from swincli.data.fitting import Fit, Fitted, Oblong, fit_all
from swincli.data.images import Crop, Filter
from swincli.data.labels import number_labels, read_labels
from swincli.data.manifest import CHANNELS, Manifest
from swincli.data.rejection import Rejected
from swincli.data.sources import open_source, printable
from swincli.data.staging import check_destination, check_outside, check_space, staged
from swincli.data.writing import StoreWriter, write_manifest
from swincli.errors import DataError, UsageError, from_os_error
from swincli.recipe.schema import LARGEST_SIZE, SMALLEST_SIZE

_NAMED = 3  # pictures that an error names before it only counts


@dataclass(frozen=True)
class PrepareOptions:
    """How a store is made.

    Attributes:
        resolution: Side of the images, a power of two from 16 to 1024.
        crop: "center" cuts out the central square, "none" insists on square pictures.
        filter: What pictures are resized with.
        labels: "folders", or a file of labels; None for no labels.
        max_images: Stop after so many, in the order of names.
        stop_on_error: Stop at the first file that is no usable picture, instead of leaving it out.
        dedupe: Leave out exact duplicates.
        workers: Processes that decode; as many as there are cores where None.
        force: Replace a store, or an empty folder, that is in the way.
    """

    resolution: int
    crop: Crop = "center"
    filter: Filter = "lanczos"
    labels: str | None = None
    max_images: int | None = None
    stop_on_error: bool = False
    dedupe: bool = False
    workers: int | None = None
    force: bool = False


@dataclass(frozen=True)
class PrepareResult:
    """A finished store: where, how many images, what was left out, its size in bytes, and all else about it."""

    path: Path
    images: int
    rejected: list[Rejected]
    size: int
    manifest: Manifest


@dataclass
class _Tally:
    """What is known of the images stored so far."""

    labels: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    oblong: list[Oblong] = field(default_factory=list)
    first_of: dict[bytes, str] = field(default_factory=dict)
    upscaled: int = 0


def prepare(source: str, dest: Path, options: PrepareOptions, console: Console) -> PrepareResult:
    """Make a store of the pictures of a source. It appears at `dest` whole or not at all.

    Args:
        source: A folder, a .zip, or a `builtin:` name.
        dest: Folder of the store to be.
        options: How.
        console: Where progress, warnings and the pictures' credit go.

    Raises:
        UsageError: a resolution, count or destination that cannot be.
        DataError: no usable picture, a bad one with `stop_on_error`, one that is not square with crop "none", labels
            that are missing, or a destination in the way.
        ResourceError: no space, no permission, or a process that died.
    """
    _check_options(options)
    check_outside(dest, source)
    check_destination(dest, force=options.force)
    with open_source(source) as opened:
        labels = None if options.labels is None else read_labels(options.labels, opened)
        most = len(opened) if options.max_images is None else min(len(opened), options.max_images)
        each = options.resolution**2 * CHANNELS
        check_space(dest, most * each, f"{most:,} images at {options.resolution} px")
        try:
            with staged(dest, force=options.force) as folder:
                manifest = _build(folder, opened, labels, options, console)
                write_manifest(folder, manifest)
                size = sum(file.stat().st_size for file in folder.iterdir())
        except OSError as error:
            raise from_os_error(error, f"writing {dest}") from error
    if manifest.upscaled:
        console.warn(
            f"{manifest.upscaled:,} of {manifest.images:,} images were smaller than {options.resolution} px and have "
            "been enlarged; they carry no detail of that size"
        )
    if manifest.credit:
        console.say(f"Credit: {manifest.credit}")
    return PrepareResult(dest, manifest.images, manifest.rejected, size, manifest)


def _check_options(options: PrepareOptions) -> None:
    side = options.resolution
    if not SMALLEST_SIZE <= side <= LARGEST_SIZE or side & (side - 1):
        sizes = [2**level for level in range(LARGEST_SIZE.bit_length()) if 2**level >= SMALLEST_SIZE]
        hint = f"Use one of {', '.join(map(str, sizes))}."
        raise UsageError(f"resolution {side} is not a power of two from {SMALLEST_SIZE} to {LARGEST_SIZE}", hint)
    if options.max_images is not None and options.max_images < 1:
        raise UsageError("--max-images 0 leaves nothing to prepare")
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers {options.workers}: at least one is needed")


def _build(
    folder: Path, source: Source, labels: dict[str, str] | None, options: PrepareOptions, console: Console
) -> Manifest:
    """Write shards and labels into `folder`; return the manifest that describes them."""
    tally = _Tally()
    with StoreWriter(folder, options.resolution) as writer:
        _write_images(writer, tally, source, labels, options, console)
        if tally.oblong:
            raise _not_square(tally.oblong)
        if not writer.images:
            raise _nothing_usable(source, tally.rejected)
        numbers: NDArray[np.int64] | None = None
        names: list[str] | None = None
        if labels is not None:
            numbers, names = number_labels(tally.labels)
        shards, content_hash, labels_sha256 = writer.finish(numbers)
    return Manifest(
        images=writer.images,
        resolution=options.resolution,
        crop=options.crop,
        filter=options.filter,
        source=printable(source.text),
        max_images=options.max_images,
        dedupe=options.dedupe,
        upscaled=tally.upscaled,
        shards=shards,
        content_hash=content_hash,
        label_names=names,
        labels_sha256=labels_sha256,
        rejected=tally.rejected,
        credit=source.credit,
        versions={"swincli": __version__, "pillow": version("pillow")},
    )


def _write_images(
    writer: StoreWriter,
    tally: _Tally,
    source: Source,
    labels: dict[str, str] | None,
    options: PrepareOptions,
    console: Console,
) -> None:
    how = Fit(options.resolution, options.crop, options.filter)
    with console.progress("Preparing", len(source)) as advance:
        outcomes = fit_all(source.entries, how, options.workers)
        try:
            for outcome in outcomes:
                advance()
                match outcome:
                    case Rejected() if options.stop_on_error:
                        hint = "Repair or remove it, or leave such files out with --on-error skip."
                        raise DataError(f"{source.locate(outcome.source)}: {outcome.reason}", hint)
                    case Rejected():
                        tally.rejected.append(outcome)
                    case Oblong():
                        tally.oblong.append(outcome)
                    case Fitted() if not tally.oblong and _is_new(outcome, tally, options):
                        writer.add(outcome.pixels)
                        tally.upscaled += outcome.upscaled
                        if labels is not None:
                            tally.labels.append(labels[outcome.name])
                if writer.images == options.max_images:
                    return
        finally:
            outcomes.close()  # stops the processes now, not when the generator is collected


def _is_new(fitted: Fitted, tally: _Tally, options: PrepareOptions) -> bool:
    """With `dedupe`, note a picture by its pixels and reject it if they have been there before."""
    if not options.dedupe:
        return True
    first = tally.first_of.setdefault(hashlib.sha256(fitted.pixels.tobytes()).digest(), fitted.name)
    if first == fitted.name:
        return True
    tally.rejected.append(Rejected(fitted.name, f"duplicate of {first}"))
    return False


def _not_square(oblong: list[Oblong]) -> DataError:
    named = ", ".join(f"{picture.name} ({picture.width} x {picture.height})" for picture in oblong[:_NAMED])
    count = f"{len(oblong):,} pictures are" if len(oblong) > 1 else "1 picture is"
    more = ", ..." if len(oblong) > _NAMED else ""
    return DataError(f"{count} not square: {named}{more}", "Cut out the middle with --crop center.")


def _nothing_usable(source: Source, rejected: list[Rejected]) -> DataError:
    first = rejected[0]
    message = f"{source.text} holds no usable picture among {len(rejected):,} files; {first.source}: {first.reason}"
    return DataError(message, "PNG, JPEG, WebP, TIFF, BMP and GIF are read.")

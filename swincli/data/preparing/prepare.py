"""The whole way from a source of pictures to a store."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swincli import __version__
from swincli.console import Console
from swincli.data.images.colour import spell_colour
from swincli.data.images.rejected import Rejected
from swincli.data.preparing.ingest import Gathered, Limits, Look, gather
from swincli.data.preparing.labels import number_labels, read_labels, unused_labels
from swincli.data.preparing.options import Plan, PrepareOptions, make_plan
from swincli.data.preparing.seen import Seen
from swincli.data.sources import open_source, printable
from swincli.data.sources.entries import Source
from swincli.data.store.manifest import CHANNELS, Provenance
from swincli.data.store.staging import check_destination, check_outside, check_space, staged
from swincli.data.store.writers import Writer, open_writer
from swincli.errors import DataError, from_os_error

__all__ = ["PrepareOptions", "PrepareResult", "prepare"]

_LOSSLESS = (
    4  # lossless files of photographs take more than one of so many parts of the pixels; the rest shows at the end
)


@dataclass(frozen=True)
class PrepareResult:
    """What has been made.

    Attributes:
        path: Where.
        manifests: What each part says of itself, by its name; the only one has none.
        size: Bytes on the disk.
    """

    path: Path
    manifests: dict[str, Provenance]
    size: int

    @property
    def manifest(self) -> Provenance:
        """Of the only part, or the first."""
        return next(iter(self.manifests.values()))

    @property
    def images(self) -> int:
        """How many, in all parts."""
        return sum(manifest.images for manifest in self.manifests.values())

    @property
    def rejected(self) -> list[Rejected]:
        """What was left out, and why."""
        return self.manifest.rejected


def prepare(
    source: str, dest: Path, options: PrepareOptions, console: Console, look: Look | None = None
) -> PrepareResult:
    """Make a store of the pictures of a source. It appears at `dest` whole or not at all.

    Args:
        source: Anything that `open_source` takes.
        dest: Folder of the store to be; with a split, of one store for each part.
        options: How.
        console: Where progress, warnings and the pictures' credit go.
        look: Is told of each file of the source once its fate is known.

    Raises:
        UsageError: a resolution, count, colour, split or destination that cannot be.
        DataError: no usable picture, a bad one with `stop_on_error`, one that is not square with crop "none", labels
            that are missing, a part that got nothing, or a destination in the way.
        ResourceError: no space, no permission, or a process that died.
    """
    plan = make_plan(options)
    as_file = options.format == "zip" and plan.split is None
    check_outside(dest, source)
    check_destination(dest, force=options.force, as_file=as_file)
    with open_source(source, options.resolution) as opened:
        labels = None if options.labels is None else read_labels(options.labels, opened)
        for note in opened.notes:
            console.say(note)
        if labels is None and unused_labels(opened):
            console.say(f"{source} brings labels along, which are not used: --labels {opened.label_file} takes them")
        most = len(opened) if options.max_images is None else min(len(opened), options.max_images)
        needed = most * options.resolution**2 * CHANNELS // (1 if plan.fit.encoding == "raw" else _LOSSLESS)
        check_space(dest, needed, f"{most:,} images at {options.resolution} px")
        try:
            with staged(dest, force=options.force, as_file=as_file) as place:
                manifests = _build(place, opened, labels, options, plan, look or _overlook, console)
                files = place.rglob("*") if place.is_dir() else [place]
                size = sum(file.stat().st_size for file in files if file.is_file())
        except OSError as error:
            raise from_os_error(error, f"writing {dest}") from error
    result = PrepareResult(dest, manifests, size)
    _warn(result, options, console)
    return result


def _overlook(_: Seen) -> None:
    pass


def _warn(result: PrepareResult, options: PrepareOptions, console: Console) -> None:
    upscaled = sum(manifest.upscaled for manifest in result.manifests.values())
    if upscaled:
        console.warn(
            f"{upscaled:,} of {result.images:,} images were smaller than {options.resolution} px and have been "
            f"enlarged; they carry no detail of that size, and --min-size {options.resolution} leaves them out"
        )
    names = result.manifest.label_names
    if names is not None and len(names) == 1:
        console.warn(f"all images have the same label, {names[0]}: there is nothing to tell apart")
    if result.manifest.credit:
        console.say(f"Credit: {result.manifest.credit}")


def _build(
    place: Path,
    source: Source,
    labels: dict[str, str] | None,
    options: PrepareOptions,
    plan: Plan,
    look: Look,
    console: Console,
) -> dict[str, Provenance]:
    """Write all parts; return the manifests that describe them."""
    with ExitStack() as stack:
        writers = {part: stack.enter_context(_open_part(place, part, options)) for part in plan.parts}
        limits = Limits(options.max_images, options.stop_on_error, options.dedupe, options.workers)
        parts, rejected = gather(source, labels, plan, limits, writers, look, console)
        for part, writer in writers.items():
            if not writer.images:
                hint = "Give it a larger share, or prepare more pictures."
                raise DataError(f"--split: no picture falls to {part}", hint)
        numbers, names = _number(parts) if labels is not None else (dict.fromkeys(parts), None)
        about = {
            "crop": options.crop,
            "filter": options.filter,
            "gamma": options.gamma,
            "background": spell_colour(plan.fit.background),
            "jpeg": options.jpeg,
            "min_size": options.min_size,
            "source": printable(source.text),
            "max_images": options.max_images,
            "dedupe": options.dedupe,
            "split": options.split,
            "label_names": names,
            "rejected": rejected,
            "credit": source.credit,
            "versions": {"swincli": __version__, "pillow": version("pillow")},
        }
        return {
            part: writer.describe(numbers[part], about | {"part": part or None, "upscaled": parts[part].upscaled})
            for part, writer in writers.items()
        }


def _open_part(place: Path, part: str, options: PrepareOptions) -> AbstractContextManager[Writer]:
    if part:
        place /= f"{part}.zip" if options.format == "zip" else part
        if options.format != "zip":
            place.mkdir()
    return open_writer(place, options.resolution, options.format, options.encoding)


def _number(parts: dict[str, Gathered]) -> tuple[dict[str, NDArray[np.int64] | None], list[str]]:
    """Number the labels of all parts alike; return them by part, and the names of the numbers."""
    numbers, names = number_labels([label for gathered in parts.values() for label in gathered.labels])
    ends = np.cumsum([0, *(len(gathered.labels) for gathered in parts.values())]).tolist()
    return {part: numbers[start:end] for part, (start, end) in zip(parts, pairwise(ends), strict=True)}, names

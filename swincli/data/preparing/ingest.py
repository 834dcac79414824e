"""Going through a source: every picture into the store that it belongs to, or among those left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from swincli.console import Console
from swincli.data.images.rejected import Rejected
from swincli.data.preparing.dedupe import Dedupe, Duplicates
from swincli.data.preparing.options import Plan
from swincli.data.preparing.seen import Seen
from swincli.data.preparing.workers import NOT_SQUARE, Outcome, fit_all
from swincli.data.sources.entries import Source
from swincli.data.store.writers import Taker
from swincli.errors import DataError
from swincli.units import format_names

Look = Callable[[Seen], None]


@dataclass(frozen=True)
class Limits:
    """What ends the way through a source, and what is left out on it.

    Attributes:
        max_images: The most images.
        stop_on_error: End with an error at the first file that is no usable picture.
        dedupe: Which duplicates are left out.
        workers: Processes that decode.
    """

    max_images: int | None
    stop_on_error: bool
    dedupe: Dedupe | None
    workers: int | None


@dataclass
class Gathered:
    """What went into one part: the labels of its images, where there are labels, and how many were enlarged."""

    labels: list[str] = field(default_factory=list)
    upscaled: int = 0


@dataclass
class _Tally:
    """How far things have come."""

    parts: dict[str, Gathered]
    rejected: list[Rejected] = field(default_factory=list)
    oblong: list[Seen] = field(default_factory=list)
    images: int = 0


def gather(
    source: Source,
    labels: Mapping[str, str] | None,
    plan: Plan,
    limits: Limits,
    writers: Mapping[str, Taker],
    look: Look,
    console: Console,
) -> tuple[dict[str, Gathered], list[Rejected]]:
    """Write every usable picture of a source, in the order of names.

    Args:
        source: The pictures.
        labels: Of the pictures, by name; None for none.
        plan: What becomes of a picture, and where it goes.
        limits: Where to stop, and what to leave out.
        writers: By the names of the parts.
        look: Is told of each file once its fate is known.
        console: Shows how far it has come.

    Returns:
        What went into each part, and what was left out.

    Raises:
        DataError: an unusable picture where that is to stop everything, pictures that are not square where nothing may
            be cropped, or no usable picture at all.
    """
    tally = _Tally({part: Gathered() for part in plan.parts})
    known = Duplicates(limits.dedupe)
    with console.progress("Preparing", len(source)) as advance:
        outcomes = fit_all(source.entries, plan.fit, limits.workers)
        try:
            for outcome in outcomes:
                advance()
                if limits.stop_on_error and outcome.seen.width is None:
                    hint = "Repair or remove it, or leave such files out with --on-error skip."
                    raise DataError(f"{source.locate(outcome.seen.name)}: {outcome.seen.reason}", hint)
                look(_settle(outcome, labels, plan, known, writers, tally))
                if tally.images == limits.max_images:
                    break
        finally:
            outcomes.close()  # stops the processes now, not when the generator is collected
    if tally.oblong:
        raise _not_square(tally.oblong)
    if not tally.images:
        raise _nothing_usable(source, tally.rejected)
    return tally.parts, tally.rejected


def _settle(
    outcome: Outcome,
    labels: Mapping[str, str] | None,
    plan: Plan,
    known: Duplicates,
    writers: Mapping[str, Taker],
    tally: _Tally,
) -> Seen:
    """Write a picture or leave it out, and count it; return what is known of it by then."""
    seen = outcome.seen if labels is None else replace(outcome.seen, label=labels.get(outcome.seen.name))
    if outcome.pixels is not None and not tally.oblong:
        twin = known.find(seen.name, outcome.pixels, outcome.fingerprint)
        if twin is None:
            return _write(outcome, seen, plan, writers, tally)
        seen = replace(seen, same_as=twin[0], reason=twin[1])
    if seen.reason is not None:
        tally.rejected.append(Rejected(seen.name, seen.reason))
        if seen.reason.startswith(NOT_SQUARE):
            tally.oblong.append(seen)
    return seen


def _write(outcome: Outcome, seen: Seen, plan: Plan, writers: Mapping[str, Taker], tally: _Tally) -> Seen:
    assert outcome.pixels is not None
    assert seen.digest is not None
    part = "" if plan.split is None else plan.split.part_of(seen.digest)
    placed = replace(seen, part=part, place=writers[part].images)
    writers[part].add(outcome.pixels, outcome.encoded)
    tally.images += 1
    tally.parts[part].upscaled += seen.upscaled
    if seen.label is not None:
        tally.parts[part].labels.append(seen.label)
    return placed


def _not_square(oblong: list[Seen]) -> DataError:
    named = format_names([f"{seen.name} ({seen.width} x {seen.height})" for seen in oblong])
    count = f"{len(oblong):,} pictures are" if len(oblong) > 1 else "1 picture is"
    hint = "Cut out a square with --crop center or random, or put wide ones between black bars with center-wide."
    return DataError(f"{count} not square: {named}", hint)


def _nothing_usable(source: Source, rejected: list[Rejected]) -> DataError:
    first = rejected[0]
    count = f"{len(rejected):,} files" if len(rejected) > 1 else "1 file"
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in Counter(item.kind for item in rejected).most_common())
    message = f"{source.text} holds no usable picture among {count} ({kinds}); {first.source}: {first.reason}"
    return DataError(message, "PNG, JPEG, WebP, TIFF, BMP and GIF are read.")

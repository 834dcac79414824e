"""How the images of a side look before they are read: files, shapes, sizes; and cautions if the two sides differ.

A difference in how images were saved, cropped or resized changes every metric, and is no difference of the models.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePath
from statistics import median

import numpy as np
from PIL import Image

from swincli.data.images.formats import HEAD_BYTES, IMAGE_FORMATS, require_image
from swincli.data.sources.entries import Entry, Source
from swincli.data.store.manifest import Manifest
from swincli.synthesis.output.judge_notes import judge_in
from swincli.synthesis.output.provenance import note_of_image, read_note

LOOKED_AT = 64  # files of a side that are looked at, spread evenly
SHARE, ASPECT, SIZE = 0.1, 0.05, 0.1  # smallest differences between the sides that matter
SAMPLED = "swincli sample "  # start of the source of a store of generated images
_LOSSY = frozenset({"JPEG", "MPO", "JPEG2000", "HEIF", "AVIF"})
_NAMES = {image_format.pillow_name: image_format.name for image_format in IMAGE_FORMATS}
_ARRAYS = (".npy", ".npz")
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)  # EXIF


@dataclass(frozen=True)
class Appearance:
    """What is known of the images of one side; None where nothing is known.

    Attributes:
        files: What the images are saved as, such as "PNG and JPEG".
        lossy: Share of images whose files have losses of compression.
        side: Median of the shorter sides in pixels.
        not_square: Share of images that are not square.
        aspect: Median of width / height.
        enlarged: Share of images that were enlarged when their store was made.
        settings: How the images of a store were cropped and resized.
        judge: Name and SHA-256 of the network that their model was trained against, as `swincli sample` notes it.
    """

    files: str | None = None
    lossy: float | None = None
    side: float | None = None
    not_square: float | None = None
    aspect: float | None = None
    enlarged: float | None = None
    settings: dict[str, str] = field(default_factory=dict)
    judge: tuple[str, str] | None = None


def of_generated(side: int | None) -> Appearance:
    """Images that a model or a program gives: square if they have one side, without losses."""
    return Appearance("generated images", 0.0, side, *((None, None) if side is None else (0.0, 1.0)))


def of_store(manifest: Manifest) -> Appearance:
    """Images of a store."""
    generated = manifest.source.startswith(SAMPLED)
    settings: dict[str, str] = {"crop": manifest.crop, "filter": manifest.filter, "gamma": manifest.gamma}
    return Appearance(
        "a store",
        0.0,
        manifest.resolution,
        0.0,
        1.0,
        0.0 if generated else manifest.upscaled / manifest.images,
        {} if generated else settings,
        judge_in(manifest.source) if generated else None,
    )


def of_source(source: Source, entries: Sequence[Entry]) -> Appearance:
    """Images of a folder or archive, from the headers of some of its files; damaged ones are passed over."""
    judge = None
    if PurePath(source.text).suffix.lower() in _ARRAYS:  # all have one size
        looks, judge = list(_looks(entries[:1])), judge_in(read_note(Path(source.text)))
        files, lossy = "an array", 0.0
    else:
        places = np.unique(np.linspace(0, len(entries) - 1, LOOKED_AT).astype(int))
        looks = list(_looks([entries[place] for place in places]))
        names = [name for name, _ in Counter(look.kind for look in looks).most_common()]
        files, lossy = " and ".join(names), _share([look.lossy for look in looks])
    if not looks:
        return Appearance()
    return Appearance(
        files,
        lossy,
        median(min(look.width, look.height) for look in looks),
        _share([look.width != look.height for look in looks]),
        median(look.width / look.height for look in looks),
        judge=judge or next((found for look in looks if (found := judge_in(look.note)) is not None), None),
    )


def compare_appearances(fakes: Appearance, fakes_name: str, reals: Appearance, reals_name: str) -> list[str]:
    """Cautions that name both sides, one for each way in which they differ."""
    first, second = _Side(fakes_name, fakes), _Side(reals_name, reals)
    return [text for compare in (_files, _shapes, _sizes, _enlarged, _settings) for text in compare(first, second)]


@dataclass(frozen=True)
class _Look:
    kind: str
    lossy: bool
    width: int
    height: int
    note: str | None


@dataclass(frozen=True)
class _Side:
    name: str
    look: Appearance


def _looks(entries: Sequence[Entry]) -> Iterator[_Look]:
    for entry in entries:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                data = entry.read()
                kind = require_image(data[:HEAD_BYTES], entry.name).pillow_name
                with Image.open(BytesIO(data), formats=(kind,)) as image:
                    width, height, note = image.width, image.height, note_of_image(image)
                    if image.getexif().get(_ORIENTATION) in _SIDEWAYS:
                        width, height = height, width
            except Exception:  # of damaged files; reading the images will name them
                continue
        lossy = kind in _LOSSY or (kind == "WEBP" and b"VP8L" not in data)
        yield _Look(_NAMES.get(kind, kind), lossy, width, height, note)


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


def _files(one: _Side, other: _Side) -> Iterator[str]:
    if _differ(one.look.lossy, other.look.lossy, SHARE):
        yield (
            f"{one.name}: {one.look.files}, but {other.name}: {other.look.files}; losses of compression on one side "
            "alone change the values. Save both sides in the same way"
        )


def _shapes(one: _Side, other: _Side) -> Iterator[str]:
    shares, aspects = (one.look.not_square, other.look.not_square), (one.look.aspect, other.look.aspect)
    if _differ(*shares, SHARE) or (any(shares) and _differ(*aspects, ASPECT)):
        words = [
            "square"
            if not side.look.not_square
            else f"{side.look.not_square:.0%} not square ({side.look.aspect:.2f}:1)"
            for side in (one, other)
        ]
        yield (
            f"{one.name}: {words[0]}, but {other.name}: {words[1]}; images that are not square are stretched for the "
            "detector. Crop both sides in the same way: swincli prepare-data"
        )


def _sizes(one: _Side, other: _Side) -> Iterator[str]:
    sides = one.look.side, other.look.side
    if _differ(*sides, SIZE * max(side or 0 for side in sides)):
        yield (
            f"{one.name}: {sides[0]:g} px, but {other.name}: {sides[1]:g} px (median of the shorter side); each side "
            "is resized on its own, which changes the values"
        )


def _enlarged(one: _Side, other: _Side) -> Iterator[str]:
    shares = one.look.enlarged or 0.0, other.look.enlarged or 0.0
    if _differ(*shares, SHARE):
        yield (
            f"{one.name}: {shares[0]:.0%} of the images were enlarged when the store was made, but {other.name}: "
            f"{shares[1]:.0%}; enlarged images are blurred"
        )


def _settings(one: _Side, other: _Side) -> Iterator[str]:
    """Settings of two stores that differ. "none" says nothing about the crop of images that were square before."""
    mine, others = one.look.settings, other.look.settings
    for name in mine.keys() & others.keys():
        if mine[name] != others[name] and "none" not in (mine[name], others[name]):
            yield f"{one.name}: prepared with {name} {mine[name]}, but {other.name}: with {name} {others[name]}"


def _differ(one: float | None, other: float | None, least: float) -> bool:
    return one is not None and other is not None and abs(one - other) >= max(least, 1e-9)

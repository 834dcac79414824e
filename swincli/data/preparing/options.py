"""How pictures are prepared: everything that can be asked for, and what of it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from swincli.data.images.colour import parse_colour
from swincli.data.images.crop_resize import Crop, Filter, Gamma
from swincli.data.images.decode import Jpeg
from swincli.data.preparing.dedupe import Dedupe
from swincli.data.preparing.splits import Split, parse_split
from swincli.data.preparing.workers import Fit
from swincli.data.store.codecs import Encoding
from swincli.data.store.writers import Format, encoding_of
from swincli.errors import UsageError
from swincli.recipe.schema import LARGEST_SIZE, SMALLEST_SIZE

T = TypeVar("T")


@dataclass(frozen=True)
class PrepareOptions:
    """How a store is made.

    Attributes:
        resolution: Side of the images, a power of two from 16 to 1024.
        crop: Which part of a picture stays; see `shaping.choose_region`. "none" insists on square pictures.
        filter: What pictures are resized with.
        labels: "folders", or a file of labels; None for no labels.
        max_images: Stop after so many, in the order of names.
        stop_on_error: Stop at the first file that is no usable picture, instead of leaving it out.
        dedupe: Leave out exact duplicates, or near ones too.
        workers: Processes that decode; as many as there are cores where None.
        force: Replace a store, or an empty folder, that is in the way.
        background: What shows through transparent pictures: a name or "rrggbb".
        gamma: "linear" resizes light, "srgb" the stored values.
        min_size: Leave out pictures of which less than so many pixels a side would stay.
        jpeg: "fast" shrinks a JPEG of many times the resolution while it is decoded, "exact" never does.
        split: Parts and shares, such as "train:0.9,test:0.1"; None for a single store.
        format: A store, or PNG files for other tools.
        encoding: How a store holds its images.
    """

    resolution: int
    crop: Crop = "center"
    filter: Filter = "lanczos"
    labels: str | None = None
    max_images: int | None = None
    stop_on_error: bool = False
    dedupe: Dedupe | None = None
    workers: int | None = None
    force: bool = False
    background: str = "white"
    gamma: Gamma = "srgb"
    min_size: int = 1
    jpeg: Jpeg = "fast"
    split: str | None = None
    format: Format = "store"
    encoding: Encoding = "raw"


@dataclass(frozen=True)
class Plan:
    """Options, once they are known to hold together.

    Attributes:
        fit: How each picture becomes a square.
        split: Where each goes; None for a single store.
    """

    fit: Fit
    split: Split | None

    @property
    def parts(self) -> list[str]:
        """Names of the parts; one without a name where nothing is split."""
        return [""] if self.split is None else list(self.split.shares)


def make_plan(options: PrepareOptions) -> Plan:
    """Read and check what was asked for.

    Raises:
        UsageError: a resolution, count, colour or split that cannot be.
    """
    side = options.resolution
    if not SMALLEST_SIZE <= side <= LARGEST_SIZE or side & (side - 1):
        sizes = [2**level for level in range(LARGEST_SIZE.bit_length()) if 2**level >= SMALLEST_SIZE]
        hint = f"Use one of {', '.join(map(str, sizes))}."
        raise UsageError(f"resolution {side} is not a power of two from {SMALLEST_SIZE} to {LARGEST_SIZE}", hint)
    if options.max_images is not None and options.max_images < 1:
        raise UsageError("--max-images 0 leaves nothing to prepare", "For example --max-images 10k.")
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers {options.workers}: at least one is needed")
    if options.min_size < 1:
        raise UsageError(f"--min-size {options.min_size}: at least one pixel is needed")
    fit = Fit(
        resolution=side,
        crop=options.crop,
        filter=options.filter,
        background=_read("--background", parse_colour, options.background, "For example white or 808080."),
        gamma=options.gamma,
        min_size=options.min_size,
        jpeg=options.jpeg,
        fingerprint=options.dedupe == "near",
        encoding=encoding_of(options.format, options.encoding),
    )
    split = (
        None
        if options.split is None
        else _read("--split", parse_split, options.split, "For example --split train:0.9,test:0.1.")
    )
    return Plan(fit, split)


def _read(option: str, parse: Callable[[str], T], text: str, hint: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", hint) from error

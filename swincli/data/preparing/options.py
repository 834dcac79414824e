"""Options of `prepare`, and their checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from swincli.data.images.colour import parse_colour
from swincli.data.images.crop_resize import Crop, Filter, Gamma
from swincli.data.images.decode import Jpeg
from swincli.data.preparing.decode_crop import DecodeOptions
from swincli.data.preparing.splits import HeldOut, Split, parse_held_out, parse_split
from swincli.data.store.codecs import Encoding
from swincli.data.store.manifest import Dedupe
from swincli.data.store.writers import OutputFormat, output_encoding
from swincli.errors import UsageError
from swincli.recipe.networks import LARGEST_SIZE, SMALLEST_SIZE

T = TypeVar("T")


@dataclass(frozen=True)
class PrepareOptions:
    """How a store is made.

    Attributes:
        resolution: Side of the images, a power of two from 16 to 1024.
        crop: How pictures are cropped; see `crop_resize.choose_region`. "none" requires square pictures.
        filter: Resampling filter.
        labels: "folders", or a label file; None for no labels.
        label_kinds: Kinds of columns, such as "age=number", for a table of attributes.
        captions: "names", "labels", "own", or a file of captions; None for no captions.
        word_dropout: How likely a word is left out of a second form of each caption; 0 for no such forms.
        hold_out: Combinations of words, whose pictures become a part of their own; None for none.
        max_images: Stop after this number of images, in the order of names; None for no limit.
        stop_on_error: Stop at the first file that cannot be decoded. Otherwise such files are skipped.
        dedupe: Skip exact duplicates, or near ones too; None for neither.
        workers: Number of worker processes; None for one per core.
        force: Replace an existing store or empty folder.
        background: Colour under transparent pixels: a CSS name or "rrggbb".
        gamma: "srgb" resizes the stored values, "linear" resizes linear light.
        min_size: Skip pictures whose crop is smaller than this on a side, in pixels.
        jpeg: "fast" shrinks a large JPEG while it is decoded, "exact" decodes every pixel.
        split: Parts and shares, such as "train:0.9,test:0.1"; None for a single store.
        format: A store, or StyleGAN's PNG files in a zip or a folder.
        encoding: How a store holds its images.
    """

    resolution: int
    crop: Crop = "center"
    filter: Filter = "lanczos"
    labels: str | None = None
    label_kinds: tuple[str, ...] = ()
    captions: str | None = None
    word_dropout: float = 0.0
    hold_out: str | None = None
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
    format: OutputFormat = "store"
    encoding: Encoding = "raw"


@dataclass(frozen=True)
class PreparePlan:
    """Checked and parsed options.

    Attributes:
        decode: How each picture becomes a square.
        split: Which part each picture goes to; None for a single store.
    """

    decode: DecodeOptions
    split: Split | HeldOut | None

    @property
    def parts(self) -> list[str]:
        """Names of the parts; one empty name without a split."""
        return [""] if self.split is None else list(self.split.parts)


def make_plan(options: PrepareOptions) -> PreparePlan:
    """Check and parse options.

    Raises:
        UsageError: A resolution, count, size, colour or split is invalid.
    """
    side = options.resolution
    if not SMALLEST_SIZE <= side <= LARGEST_SIZE or side & (side - 1):
        sizes = [2**level for level in range(LARGEST_SIZE.bit_length()) if 2**level >= SMALLEST_SIZE]
        hint = f"Use one of {', '.join(map(str, sizes))}."
        message = f"--resolution {side} is not a power of two from {SMALLEST_SIZE} to {LARGEST_SIZE}"
        raise UsageError(message, hint)
    if options.max_images is not None and options.max_images < 1:
        raise UsageError(f"--max-images {options.max_images}: must be at least 1", "For example --max-images 10k.")
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers {options.workers}: must be at least 1")
    if options.min_size < 1:
        raise UsageError(f"--min-size {options.min_size}: must be at least 1")
    decode = DecodeOptions(
        resolution=side,
        crop=options.crop,
        filter=options.filter,
        background=_parse("--background", parse_colour, options.background, "For example white or 808080."),
        gamma=options.gamma,
        min_size=options.min_size,
        jpeg=options.jpeg,
        hashed=options.dedupe == "near",
        digested=options.dedupe is not None,
        encoding=output_encoding(options.format, options.encoding),
    )
    hint = "For example --split train:0.9,test:0.1."
    split = None if options.split is None else _parse("--split", parse_split, options.split, hint)
    _check_captions(options)
    hint = 'For example --hold-out "orange + red hat, grey + monocle".'
    held_out = None if options.hold_out is None else _parse("--hold-out", parse_held_out, options.hold_out, hint)
    return PreparePlan(decode, split or held_out)


def _check_captions(options: PrepareOptions) -> None:
    """Check that captions can be kept, and held out."""
    if options.captions is not None and options.format != "store":
        hint = "Only a store has captions; or leave out --captions."
        raise UsageError(f"--captions: a {options.format} cannot hold captions", hint)
    if options.word_dropout and options.captions is None:
        raise UsageError("--word-dropout: words are left out of captions", "Give --captions too.")
    if not 0 <= options.word_dropout < 1:
        raise UsageError(f"--word-dropout {options.word_dropout:g}: must be from 0 to below 1", "For example 0.1")
    if options.hold_out is not None and options.captions is None:
        raise UsageError("--hold-out: pictures are held out by their captions", "Give --captions too.")
    if options.hold_out is not None and options.split is not None:
        raise UsageError("--hold-out: cannot be combined with --split", "Leave out one of them.")


def _parse(option: str, parse: Callable[[str], T], text: str, hint: str) -> T:
    """Parse the text of an option; turn a ValueError into a UsageError that names the option."""
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", hint) from error

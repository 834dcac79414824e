"""`PrepareDataRequest`: the options of `swincli prepare-data`, and the checks that read no pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from swincli.commands.options import parsed_count
from swincli.commands.typer_command import GivenOptions
from swincli.errors import UsageError

if TYPE_CHECKING:
    from swincli.data.preparing.options import PrepareOptions
    from swincli.data.preparing.report import ReportFiles

PICTURES, STORE, PROCESSING, REPORT = "Pictures", "Store", "Processing", "Report"
STATS_RESOLUTION = 256  # --stats measures pictures at this side in pixels, unless --resolution is given


_COMMON: tuple[str, ...] = ("--json", "--quiet", "--debug")
VERIFY_OPTIONS: tuple[str, ...] = ("--verify", *_COMMON)
"""Options that have an effect with --verify."""
STORE_STATS_OPTIONS: tuple[str, ...] = (
    "--stats",
    "--dedupe",
    "--dedupe-near",
    "--report",
    "--contact-sheet",
    "--force",
    *_COMMON,
)
"""Options that have an effect with --stats of a store."""
STATS_OPTIONS: tuple[str, ...] = (
    *STORE_STATS_OPTIONS, "--resolution", "--crop", "--filter", "--gamma", "--background", "--min-size", "--jpeg",
    "--labels", "--label-kind", "--captions", "--word-dropout", "--max-images", "--on-error", "--workers",
)  # fmt: skip
"""Options that have an effect with --stats of a source."""


@dataclass(frozen=True, kw_only=True)
class PrepareDataRequest:
    """The options of `swincli prepare-data`: the pictures, the store, and what else is written."""

    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a .zip or .tar, an LMDB, a .npy or .npz array, a .txt list of paths, or builtin:emoji, "
            "emoji-faces, cats[:COUNT[:SEED]] or robots.",
        ),
    ] = None
    dest: Annotated[Path | None, typer.Argument(metavar="DEST", help="Folder of the new store, or a .zip.")] = None
    resolution: Annotated[
        int | None,
        typer.Option(help="Side of the images in pixels: a power of two from 16 to 1024.", rich_help_panel=PICTURES),
    ] = None
    crop: Annotated[
        Literal["center", "center-wide", "random", "none"],
        typer.Option(
            help="The central square; the central 4:3 between black bars; a random square; or accept only square "
            "pictures.",
            rich_help_panel=PICTURES,
        ),
    ] = "center"
    filter: Annotated[
        Literal["lanczos", "box", "bicubic", "bilinear"],
        typer.Option(help="Filter for resizing; always antialiased.", rich_help_panel=PICTURES),
    ] = "lanczos"
    gamma: Annotated[
        Literal["srgb", "linear"],
        typer.Option(help="Resize the stored values, as most tools do, or linear light.", rich_help_panel=PICTURES),
    ] = "srgb"
    background: Annotated[
        str,
        typer.Option(
            metavar="COLOUR", help="Colour behind transparent pictures: a name or rrggbb.", rich_help_panel=PICTURES
        ),
    ] = "white"
    min_size: Annotated[
        int,
        typer.Option(
            metavar="PX",
            min=1,
            help="Skip pictures whose crop would be smaller than PX on a side.",
            rich_help_panel=PICTURES,
        ),
    ] = 1
    jpeg: Annotated[
        Literal["fast", "exact"],
        typer.Option(help="Shrink large JPEGs while decoding, or decode every pixel.", rich_help_panel=PICTURES),
    ] = "fast"
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="folders|FILE",
            help="Labels from first-level folders, StyleGAN's dataset.json, or a table of paths and labels. A table "
            "with a heading and several columns has attributes.",
            rich_help_panel=PICTURES,
        ),
    ] = None
    label_kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=KIND",
            help="Kind of a column of --labels: class, flag, number, several or skip; default: told from its cells. "
            "May be repeated.",
            rich_help_panel=PICTURES,
        ),
    ] = None
    captions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|names|labels|own",
            help="Captions, for models of text: a table of paths and captions, several rows a picture if it has "
            "several; or from file names, or labels; or a builtin: source's own. Needs the extra text.",
            rich_help_panel=PICTURES,
        ),
    ] = None
    word_dropout: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Give each caption a second form, from which each word is left out with this probability, e.g. 0.1.",
            rich_help_panel=PICTURES,
        ),
    ] = 0.0
    max_images: Annotated[
        str | None, typer.Option(metavar="N", help="Stop after N images, e.g. 10k.", rich_help_panel=PICTURES)
    ] = None
    dedupe: Annotated[bool, typer.Option("--dedupe", help="Skip exact duplicates.", rich_help_panel=PICTURES)] = False
    dedupe_near: Annotated[
        bool,
        typer.Option(
            "--dedupe-near", help="Skip near duplicates too: pictures that look the same.", rich_help_panel=PICTURES
        ),
    ] = False
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:SHARE,...",
            help="Split the images into several stores, e.g. train:0.9,test:0.1.",
            rich_help_panel=STORE,
        ),
    ] = None
    hold_out: Annotated[
        str | None,
        typer.Option(
            metavar='"WORD + WORD, ..."',
            help="Make two stores, train and held-out: pictures whose captions have all words of a combination, such "
            'as "orange + red hat", are held out.',
            rich_help_panel=STORE,
        ),
    ] = None
    on_error: Annotated[
        Literal["skip", "stop"],
        typer.Option(help="Skip unusable files and report them, or stop at the first.", rich_help_panel=PROCESSING),
    ] = "skip"
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Decoding processes; default: one per core.", rich_help_panel=PROCESSING),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing store and report files.", rich_help_panel=STORE)
    ] = False
    format: Annotated[
        Literal["store", "zip", "folder"] | None,
        typer.Option(
            help="A store, or PNG files in StyleGAN's layout; default: zip if DEST ends in .zip, else store.",
            rich_help_panel=STORE,
        ),
    ] = None
    encoding: Annotated[
        Literal["raw", "png", "webp"],
        typer.Option(
            help="Images of a store as raw pixels, or as lossless files: smaller, but decoded on every read.",
            rich_help_panel=STORE,
        ),
    ] = "raw"
    verify: Annotated[
        Path | None,
        typer.Option(metavar="DEST", help="Only check every byte of a store or zip.", rich_help_panel=STORE),
    ] = None
    stats: Annotated[
        str | None,
        typer.Option(
            metavar="STORE|SOURCE",
            help="Only count and measure the images of a store or source.",
            rich_help_panel=REPORT,
        ),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Write a page with thumbnails: which files were used, which were skipped, and why.",
            rich_help_panel=REPORT,
        ),
    ] = None
    contact_sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Write one picture of many of the images.", rich_help_panel=REPORT),
    ] = None
    given: GivenOptions = ()

    @property
    def options(self) -> PrepareOptions:
        """How pictures are prepared, or measured for `--stats`.

        Raises:
            UsageError: `--max-images` is not a number.
        """
        from swincli.data.preparing.options import PrepareOptions

        to_zip = self.dest is not None and self.dest.suffix.lower() == ".zip"
        exact = self.dedupe or self.stats is not None
        return PrepareOptions(
            resolution=STATS_RESOLUTION if self.resolution is None else self.resolution,
            crop=self.crop,
            filter=self.filter,
            labels=self.labels,
            label_kinds=tuple(self.label_kind or ()),
            captions=self.captions,
            word_dropout=self.word_dropout,
            hold_out=self.hold_out,
            max_images=parsed_count("--max-images", self.max_images),
            stop_on_error=self.on_error == "stop",
            dedupe="near" if self.dedupe_near else "exact" if exact else None,
            workers=self.workers,
            force=self.force,
            background=self.background,
            gamma=self.gamma,
            min_size=self.min_size,
            jpeg=self.jpeg,
            split=self.split,
            format=self.format or ("zip" if to_zip else "store"),
            encoding=self.encoding,
        )

    @property
    def report_files(self) -> ReportFiles:
        """The files of `--report` and `--contact-sheet`."""
        from swincli.data.preparing.report import ReportFiles

        return ReportFiles(self.report, self.contact_sheet)

    def check(self) -> None:
        """Check options that can be checked without reading pictures.

        Raises:
            UsageError: an option is missing, cannot be read, or contradicts another.
        """
        alone = next((f"--{name}" for name in ("verify", "stats") if getattr(self, name) is not None), None)
        if alone is not None:
            self._check_alone(alone)
        if self.verify is not None:
            return
        if self.stats is not None:
            _ = self.options
            self.report_files.check(self.stats, force=self.force)
            return
        if self.source is None or self.dest is None or self.resolution is None:
            hint = "For example swincli prepare-data photos/ datasets/photos-256 --resolution 256"
            raise UsageError("SOURCE, DEST and --resolution: all three are required", hint)
        self._check_format(self.dest, self.options)
        self.report_files.check(self.source, self.dest, force=self.force)

    def _check_alone(self, alone: str) -> None:
        """Refuse options that --verify or --stats would ignore."""
        if self.source is not None or None not in (self.verify, self.stats):
            other = "--stats" if alone == "--verify" else "--verify"
            raise UsageError(f"{alone}: cannot be combined with SOURCE, DEST or {other}", f"Give {alone} alone.")
        if alone == "--verify":
            known, what = VERIFY_OPTIONS, alone
        else:
            from swincli.data.store.manifest import is_store

            of_store = is_store(str(self.stats))
            known, what = (STORE_STATS_OPTIONS, f"{alone} of a store") if of_store else (STATS_OPTIONS, alone)
        ignored = [option for option in self.given if option not in known]
        if ignored:
            hint = f"Leave {'it' if len(ignored) == 1 else 'them'} out."
            raise UsageError(f"{', '.join(ignored)}: cannot be combined with {what}", hint)

    def _check_format(self, dest: Path, options: PrepareOptions) -> None:
        one_zip = options.format == "zip" and options.split is None
        if one_zip and dest.suffix.lower() != ".zip":
            raise UsageError(f"{dest}: the name of a zip must end in .zip", f"For example {dest}.zip.")
        if options.format != "store" and options.encoding == "webp":
            raise UsageError(f"--encoding webp: a {options.format} holds PNG files", "WebP needs --format store.")

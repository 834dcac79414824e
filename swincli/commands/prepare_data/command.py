"""`swincli prepare-data`: make a packed store of pictures, or check one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from swincli.commands.options import DebugOption, JsonOption, QuietOption, boundary, read_count

_PICTURES = "Pictures"
_STORE = "Store"
_WORK = "Work"
_REPORT = "Report"
_STATS_RESOLUTION = 256


def prepare_data(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a .zip or .tar, an LMDB, a .npy or .npz array, a .txt list of paths, builtin:emoji or "
            "builtin:emoji-faces.",
        ),
    ] = None,
    dest: Annotated[Path | None, typer.Argument(metavar="DEST", help="Folder of the store to be, or a .zip.")] = None,
    resolution: Annotated[
        int | None,
        typer.Option(help="Side of the images: a power of two from 16 to 1024.", rich_help_panel=_PICTURES),
    ] = None,
    crop: Annotated[
        Literal["center", "center-wide", "random", "none"],
        typer.Option(
            help="Cut out the central square, the central 4:3 between black bars, or a square anywhere; or insist on "
            "square pictures.",
            rich_help_panel=_PICTURES,
        ),
    ] = "center",
    filter_name: Annotated[
        Literal["lanczos", "box", "bicubic", "bilinear"],
        typer.Option("--filter", help="What pictures are resized with, always antialiased.", rich_help_panel=_PICTURES),
    ] = "lanczos",
    gamma: Annotated[
        Literal["srgb", "linear"],
        typer.Option(help="Resize the stored values as most tools do, or linear light.", rich_help_panel=_PICTURES),
    ] = "srgb",
    background: Annotated[
        str,
        typer.Option(
            metavar="COLOUR", help="Behind transparent pictures: a name or rrggbb.", rich_help_panel=_PICTURES
        ),
    ] = "white",
    min_size: Annotated[
        int,
        typer.Option(
            metavar="PX",
            min=1,
            help="Leave out pictures of which less than so many pixels a side would stay.",
            rich_help_panel=_PICTURES,
        ),
    ] = 1,
    jpeg: Annotated[
        Literal["fast", "exact"],
        typer.Option(
            help="Shrink JPEGs of many times the resolution while decoding them, or decode every pixel.",
            rich_help_panel=_PICTURES,
        ),
    ] = "fast",
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="folders|FILE",
            help="Labels from first-level folders, StyleGAN's dataset.json, or a CSV of path and label.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    max_images: Annotated[
        str | None, typer.Option(metavar="N", help='Stop after so many, such as "10k".', rich_help_panel=_PICTURES)
    ] = None,
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Leave out exact duplicates.", rich_help_panel=_PICTURES)
    ] = False,
    dedupe_near: Annotated[
        bool,
        typer.Option(
            "--dedupe-near", help="Leave out near duplicates too: what looks the same.", rich_help_panel=_PICTURES
        ),
    ] = False,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:SHARE,...",
            help='Spread the pictures over several stores, such as "train:0.9,test:0.1".',
            rich_help_panel=_STORE,
        ),
    ] = None,
    on_error: Annotated[
        Literal["skip", "stop"],
        typer.Option(help="Leave unusable files out and report them, or stop at the first.", rich_help_panel=_WORK),
    ] = "skip",
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes that decode; all cores if left out.", rich_help_panel=_WORK),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the store that is at DEST.", rich_help_panel=_STORE)
    ] = False,
    format_name: Annotated[
        Literal["store", "zip", "folder"] | None,
        typer.Option(
            "--format",
            help="A store, or PNG files as StyleGAN's tools read them; if left out, a zip where DEST ends in .zip.",
            rich_help_panel=_STORE,
        ),
    ] = None,
    encoding: Annotated[
        Literal["raw", "png", "webp"],
        typer.Option(
            help="Pixels as they are, or lossless files in the store: smaller, and decoded each time.",
            rich_help_panel=_STORE,
        ),
    ] = "raw",
    verify: Annotated[
        Path | None,
        typer.Option(metavar="DEST", help="Only check every byte of a store that is there.", rich_help_panel=_STORE),
    ] = None,
    stats: Annotated[
        str | None,
        typer.Option(metavar="STORE|SOURCE", help="Only count and measure what is there.", rich_help_panel=_REPORT),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Write a page of what went in, what did not and why, with pictures.",
            rich_help_panel=_REPORT,
        ),
    ] = None,
    contact_sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Write a picture of many of the images.", rich_help_panel=_REPORT),
    ] = None,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a store that networks train on, from pictures of nearly any kind and place.

    --verify and --stats, each alone, look at what is there.
    """
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.errors import UsageError

        alone = next((name for name, value in (("--verify", verify), ("--stats", stats)) if value is not None), None)
        if alone is not None and (source is not None or None not in (verify, stats)):
            raise UsageError(f"{alone} stands alone", "Leave SOURCE, DEST and the other one of --verify, --stats out.")
        if alone is None and (source is None or dest is None or resolution is None):
            hint = "For example: swincli prepare-data pictures store --resolution 256"
            raise UsageError("prepare-data needs SOURCE, DEST and --resolution", hint)
        from swincli.commands.prepare_data.run import carry_out, look_over, verify_whole
        from swincli.data.preparing.options import PrepareOptions
        from swincli.data.preparing.report import ReportFiles

        if verify is not None:
            verify_whole(verify, console)
            return
        options = PrepareOptions(
            resolution=resolution or _STATS_RESOLUTION,
            crop=crop,
            filter=filter_name,
            labels=labels,
            max_images=read_count("--max-images", max_images),
            stop_on_error=on_error == "stop",
            dedupe="near" if dedupe_near else "exact" if dedupe or stats is not None else None,
            workers=workers,
            force=force,
            background=background,
            gamma=gamma,
            min_size=min_size,
            jpeg=jpeg,
            split=split,
            format=format_name or ("zip" if dest is not None and dest.suffix.lower() == ".zip" else "store"),
            encoding=encoding,
        )
        asked = ReportFiles(report, contact_sheet)
        if stats is not None:
            look_over(stats, options, asked, console)
        elif source is not None and dest is not None:
            carry_out(source, dest, options, asked, console)

"""`swincli prepare-data`: make a packed store of pictures, or check one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from swincli.commands.options import DebugOption, JsonOption, QuietOption, boundary

if TYPE_CHECKING:
    from rich.table import Table

    from swincli.data.prepare import PrepareResult

_PICTURES = "Pictures"
_STORE = "Store"
_WORK = "Work"


def prepare_data(
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="A folder, a .zip, builtin:emoji or builtin:emoji-faces."),
    ] = None,
    dest: Annotated[Path | None, typer.Argument(metavar="DEST", help="Folder of the store to be.")] = None,
    resolution: Annotated[
        int | None,
        typer.Option(help="Side of the images: a power of two from 16 to 1024.", rich_help_panel=_PICTURES),
    ] = None,
    crop: Annotated[
        Literal["center", "none"],
        typer.Option(help="Cut out the central square, or insist on square pictures.", rich_help_panel=_PICTURES),
    ] = "center",
    filter_name: Annotated[
        Literal["lanczos", "box", "bicubic"],
        typer.Option("--filter", help="What pictures are resized with, always antialiased.", rich_help_panel=_PICTURES),
    ] = "lanczos",
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
    verify: Annotated[
        Path | None,
        typer.Option(metavar="DEST", help="Only check every byte of a store that is there.", rich_help_panel=_STORE),
    ] = None,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a store that networks train on, from a folder or zip of pictures; or check one with --verify."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.errors import UsageError

        if verify is not None:
            if source is not None:
                raise UsageError("--verify DEST stands alone", "Leave SOURCE and DEST out.")
            from swincli.data.verification import verify_store

            checked = verify_store(verify, console)
            data = {"path": str(verify), "ok": True, "images": checked.images, "content_hash": checked.content_hash}
            console.emit(data, [f"{verify}: ok"])
            return
        if source is None or dest is None or resolution is None:
            hint = "For example: swincli prepare-data pictures store --resolution 256"
            raise UsageError("prepare-data needs SOURCE, DEST and --resolution", hint)
        from swincli.data.prepare import PrepareOptions, prepare

        options = PrepareOptions(
            resolution=resolution,
            crop=crop,
            filter=filter_name,
            labels=labels,
            max_images=_count(max_images),
            stop_on_error=on_error == "stop",
            dedupe=dedupe,
            workers=workers,
            force=force,
        )
        result = prepare(source, dest, options, console)
        console.show(_summary(result))
        console.emit(_as_json(result), [str(result.path)])


def _count(text: str | None) -> int | None:
    from swincli.errors import UsageError
    from swincli.units import parse_count

    try:
        return None if text is None else parse_count(text)
    except ValueError as error:
        raise UsageError(f"--max-images: {error}") from error


def _as_json(result: PrepareResult) -> dict[str, object]:
    manifest = result.manifest
    return {
        "path": str(result.path),
        "images": result.images,
        "rejected": [{"source": item.source, "reason": item.reason} for item in result.rejected],
        "resolution": manifest.resolution,
        "upscaled": manifest.upscaled,
        "label_names": manifest.label_names,
        "content_hash": manifest.content_hash,
        "credit": manifest.credit,
        "bytes": result.size,
    }


def _summary(result: PrepareResult) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from swincli.units import format_bytes

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")  # a path is of use as a whole only
    side = result.manifest.resolution
    table.add_row("images", f"{result.images:,} of {side} x {side} px")
    if result.manifest.label_names is not None:
        table.add_row("labels", f"{len(result.manifest.label_names):,}")
    kinds: dict[str, list[str]] = {}
    for item in result.rejected:
        kinds.setdefault(item.kind, []).append(item.source)
    for kind, sources in kinds.items():
        named = ", ".join(sources[:3]) + (", ..." if len(sources) > 3 else "")
        table.add_row("left out", escape(f"{len(sources):,} {kind}: {named}"))
    table.add_row("store", escape(f"{result.path} ({format_bytes(result.size)})"))
    return table

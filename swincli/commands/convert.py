"""`swincli convert`: checkpoints of the original release into models of ours, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swincli.commands.options import DebugOption, JsonOption, QuietOption, boundary


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="An original checkpoint (.pt), or a model (.safetensors).")
    ],
    dest: Annotated[
        Path, typer.Argument(metavar="OUT", help="The other of the two: a .safetensors file, or a .pt file.")
    ],
    images_seen: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Images that IN was trained for, such as 27.2M; else what the file and its name tell."
        ),
    ] = None,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Convert a checkpoint of the original StyleSwin release into a model that every command takes, or back again.

    Networks, moving average and optimisers go along, so that training continues on either side (train.init).
    """
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.errors import UsageError
        from swincli.units import parse_count

        try:
            seen = parse_count(images_seen) if images_seen is not None else None
        except ValueError as error:
            raise UsageError(f"--images-seen {images_seen}: {error}") from None
        if {source.suffix, dest.suffix} != {".pt", ".safetensors"}:
            raise UsageError(
                f"{source} to {dest}: one of them must be a .pt file and the other a .safetensors file",
                "For example swincli convert FFHQ_256.pt ffhq256.safetensors",
            )

        from dataclasses import replace

        from swincli.model.official import unlike_the_release, write_original
        from swincli.model.snapshot import PARTS
        from swincli.model.weights import read_snapshot, save_snapshot

        snapshot = read_snapshot(source)
        snapshot = snapshot if seen is None else replace(snapshot, images_seen=seen)
        if dest.suffix == ".pt":
            odd = unlike_the_release(snapshot.recipe.model)
            if odd:
                keys = ", ".join(f"model.{key} = {getattr(snapshot.recipe.model, key)}" for key in odd)
                console.warn(f"the release's own code builds no such networks ({keys}); swincli reads the file")
            write_original(dest, snapshot)
        else:
            save_snapshot(dest, snapshot)
        missing = [part for part in PARTS if part not in snapshot.parts]
        if missing:
            console.say(f"{dest} has no {', '.join(missing)}, for {source} holds none")
        if not snapshot.images_seen:
            console.say(f"{source} does not tell how many images it has seen; --images-seen N does")
        console.emit({"path": str(dest), "images_seen": snapshot.images_seen, "parts": snapshot.parts}, [str(dest)])

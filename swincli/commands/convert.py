"""`swincli convert`: checkpoints of the original release into models of ours and back, and averages into models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swincli.commands.options import DebugOption, JsonOption, QuietOption, boundary, read_count

if TYPE_CHECKING:
    from swincli.console import Console

AVERAGES = "Averages of a run"


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="An original checkpoint (.pt), or a model (.safetensors); with --ema-width, a run folder.",
        ),
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
    ema_width: Annotated[
        float | None,
        typer.Option(
            metavar="WIDTH",
            help="Make a model of a run's power-function averages (ema.power): of any width, such as 0.07.",
            rich_help_panel=AVERAGES,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Make it as after so many images, such as 20M; else as at the last snapshot.",
            rich_help_panel=AVERAGES,
        ),
    ] = None,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Convert a checkpoint of the original StyleSwin release into a model that every command takes, or back again.

    Networks, moving average and optimisers go along, so that training continues on either side (train.init).

    With --ema-width it makes a model of a run that has kept power-function averages: RUN OUT.safetensors.
    """
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        seen, moment = read_count("--images-seen", images_seen), read_count("--at", at)
        if ema_width is not None:
            _check_average(dest, images_seen)
            _make_average(console, source, dest, ema_width, moment)
            return
        _check_formats(source, dest, at)
        _convert_checkpoint(console, source, dest, seen)


def _check_formats(source: Path, dest: Path, at: str | None) -> None:
    from swincli.errors import UsageError

    if at is not None:
        raise UsageError("--at: says when an average is taken, and none is asked for", "Add --ema-width.")
    if {source.suffix, dest.suffix} != {".pt", ".safetensors"}:
        raise UsageError(
            f"{source} to {dest}: one of them must be a .pt file and the other a .safetensors file",
            "For example swincli convert FFHQ_256.pt ffhq256.safetensors",
        )


def _check_average(dest: Path, images_seen: str | None) -> None:
    from swincli.errors import UsageError

    if images_seen is not None:
        raise UsageError(
            "--images-seen: a run's averages know how many they have seen", "Use --at to choose among them."
        )
    if dest.suffix != ".safetensors":
        raise UsageError(f"{dest}: an average is written as a .safetensors file", "convert takes that to a .pt file.")


def _make_average(console: Console, run: Path, dest: Path, width: float, at: int | None) -> None:
    from swincli.training.ema.posthoc import POOR_FIT, plan_reconstruction, write_reconstruction

    plan = plan_reconstruction(run, width, at)
    seen, error, used = plan.wanted.images_seen, plan.solution.error, len(plan.needed)
    with console.progress("Mixing averages", used, "snapshots") as advance:
        write_reconstruction(plan, dest, advance)
    told = f"width {width:g} after {seen:,} images, of {used} snapshots; profile met to within {error:.2%}"
    if error > POOR_FIT:
        console.warn(f"{told}: too few or too far apart for this width, and the average is only near to it")
    else:
        console.say(told)
    facts = {"ema_width": width, "profile_error": error, "snapshots": used}
    console.emit({"path": str(dest), "images_seen": seen, "parts": ["g_ema"], **facts}, [str(dest)])


def _convert_checkpoint(console: Console, source: Path, dest: Path, seen: int | None) -> None:
    from dataclasses import replace

    from swincli.model.files.model_file import read_snapshot, save_snapshot
    from swincli.model.files.official import unsupported_by_release, write_original
    from swincli.model.files.snapshot import PARTS

    snapshot = read_snapshot(source)
    snapshot = snapshot if seen is None else replace(snapshot, images_seen=seen)
    if dest.suffix == ".pt":
        odd = unsupported_by_release(snapshot.recipe.model)
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

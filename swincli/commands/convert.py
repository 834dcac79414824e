"""`swincli convert`: StyleSwin's and StyleNAT's checkpoints to model files and back, and EMA snapshots to models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swincli.commands.options import ForceOption, parsed_count
from swincli.commands.typer_command import Result, command
from swincli.errors import UsageError

if TYPE_CHECKING:
    from swincli.console import Console

EMA = "Post-hoc EMA"


@dataclass(frozen=True, kw_only=True)
class ConvertRequest:
    """The options of `swincli convert`: input, output, and which average to reconstruct."""

    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="An original checkpoint (.pt) or a model (.safetensors); with --ema-width, a run folder.",
        ),
    ]
    dest: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Output file: .safetensors for a .pt input, .pt for a .safetensors input."),
    ]
    images_seen: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Images that IN was trained on, e.g. 27.2M; default: read from the file or its name."
        ),
    ] = None
    ema_width: Annotated[
        float | None,
        typer.Option(
            metavar="WIDTH",
            help="Make a model with this EMA width, e.g. 0.07, from the power-function averages of a run (ema.power).",
            rich_help_panel=EMA,
        ),
    ] = None
    at: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Reconstruct the average as of N images, e.g. 20M; default: as of the last snapshot.",
            rich_help_panel=EMA,
        ),
    ] = None
    force: ForceOption = False

    @property
    def images_seen_count(self) -> int | None:
        """`--images-seen` as a number; None if it was not given.

        Raises:
            UsageError: not a number of images.
        """
        return parsed_count("--images-seen", self.images_seen)

    @property
    def at_count(self) -> int | None:
        """`--at` as a number of images; None if it was not given.

        Raises:
            UsageError: not a number of images.
        """
        return parsed_count("--at", self.at)

    def check(self) -> None:
        """Check the file formats, and which options go together.

        Raises:
            UsageError: an option cannot be read, or does not fit the input and output.
        """
        _ = self.images_seen_count, self.at_count
        if self.ema_width is not None:
            if self.images_seen is not None:
                raise UsageError("--images-seen: cannot be combined with --ema-width", "Use --at to choose a moment.")
            if self.dest.suffix != ".safetensors":
                hint = "Convert that file to .pt in a second step."
                raise UsageError(f"{self.dest}: must end in .safetensors with --ema-width", hint)
            return
        if self.at is not None:
            raise UsageError("--at: needs --ema-width", "Add --ema-width 0.07.")
        if {self.source.suffix, self.dest.suffix} != {".pt", ".safetensors"}:
            raise UsageError(
                f"{self.source} to {self.dest}: one must be a .pt file, the other a .safetensors file",
                "For example swincli convert FFHQ_256.pt ffhq256.safetensors",
            )


@command(ConvertRequest)
def convert(request: ConvertRequest, console: Console) -> Result:
    """Convert an original StyleSwin checkpoint to a model file that every command takes, or back.

    Networks, EMA and optimisers are converted, so that training can continue on either side (train.init). StyleNAT's
    checkpoints are read too, without their optimisers.

    With --ema-width, reconstruct an average of a run with power-function EMA: RUN OUT.safetensors.
    """
    return run(request, console)


def run(request: ConvertRequest, console: Console) -> Result:
    """Convert a checkpoint, or reconstruct an average.

    Args:
        request: Checked options.
        console: Receives messages, warnings and progress.

    Raises:
        SwincliError: the input cannot be read, or the output cannot be written or exists.
    """
    from swincli.system.overwrite import check_overwrite

    check_overwrite([request.dest], force=request.force, reason="exists")
    if request.ema_width is not None:
        return _reconstruct_ema(request.source, request.dest, request.ema_width, request.at_count, console)
    return _convert_checkpoint(request.source, request.dest, request.images_seen_count, console)


def _reconstruct_ema(folder: Path, dest: Path, width: float, at: int | None, console: Console) -> Result:
    from swincli.training.ema.posthoc import POOR_FIT, plan_reconstruction, write_reconstruction

    plan = plan_reconstruction(folder, width, at)
    seen, error, used = plan.wanted.images_seen, plan.solution.error, len(plan.needed)
    with console.progress("Mixing averages", used, "snapshots") as advance:
        write_reconstruction(plan, dest, advance)
    summary = f"EMA width {width:g} at {seen:,} images, from {used} snapshots; error of the profile: {error:.2%}"
    if error > POOR_FIT:
        console.warn(f"{summary}: the snapshots are too few or too far apart for this width")
    else:
        console.say(summary)
    facts = {"ema_width": width, "profile_error": error, "snapshots": used}
    return Result({"path": str(dest), "images_seen": seen, "parts": ["g_ema"], **facts}, [str(dest)])


def _convert_checkpoint(source: Path, dest: Path, images_seen: int | None, console: Console) -> Result:
    from swincli.model.files.model_file import read_snapshot, save_snapshot
    from swincli.model.files.official import unsupported_by_release, write_original
    from swincli.model.files.snapshot import PARTS

    snapshot = read_snapshot(source)
    snapshot = snapshot if images_seen is None else replace(snapshot, images_seen=images_seen)
    if dest.suffix == ".pt":
        odd = unsupported_by_release(snapshot.recipe.model)
        if odd:
            keys = ", ".join(f"model.{key} = {getattr(snapshot.recipe.model, key)}" for key in odd)
            console.warn(f"the original code cannot build these networks ({keys}); only swincli reads the file")
        write_original(dest, snapshot)
    else:
        save_snapshot(dest, snapshot)
    missing = [part for part in PARTS if part not in snapshot.parts]
    if missing:
        console.say(f"{dest} has no {', '.join(missing)}, because {source} has none")
    if not snapshot.images_seen:
        console.say(f"{source} does not say how many images it was trained on; give --images-seen N")
    return Result({"path": str(dest), "images_seen": snapshot.images_seen, "parts": snapshot.parts}, [str(dest)])

"""`swincli interpolate`: walks through latent space, as videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swincli.commands.interpolate.request import Curve, Easing, Pace, Request, WalkSpace
from swincli.commands.options import (
    LATENTS,
    BatchOption,
    CheckpointOption,
    ClassOption,
    DebugOption,
    Device,
    DeviceOption,
    ForceOption,
    JsonOption,
    QuietOption,
    TruncationCentresOption,
    TruncationLayersOption,
    TruncationOption,
    TunedOption,
    boundary,
)
from swincli.commands.sample.request import read_grid, read_seeds

WAY, FILE = "The way between them", "The video"


def interpolate(
    seeds: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Key frames: seeds and ranges, such as 1,5,9.", rich_help_panel=LATENTS),
    ] = None,
    latents: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.npz",
            help="Further key frames: codes, such as `project` writes; may be repeated.",
            rich_help_panel=LATENTS,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    tuned: TunedOption = None,
    of_class: ClassOption = None,
    truncation: TruncationOption = 1.0,
    truncation_layers: TruncationLayersOption = None,
    truncation_centres: TruncationCentresOption = None,
    mix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SEED@LAYERS",
            help="LAYERS (coarse, middle, fine or 0-3) stay those of SEED; may be repeated.",
            rich_help_panel=WAY,
        ),
    ] = None,
    space: Annotated[
        WalkSpace, typer.Option(help="Go along lines in w, or along arcs in z.", rich_help_panel=WAY)
    ] = WalkSpace.w,
    curve: Annotated[
        Curve, typer.Option(help="In w: straight lines, or one smooth curve.", rich_help_panel=WAY)
    ] = Curve.linear,
    loop: Annotated[bool, typer.Option("--loop", help="Go back to the first key frame.", rich_help_panel=WAY)] = False,
    frames: Annotated[
        str, typer.Option(metavar="N|LIST", help="Frames from key frame to key frame.", rich_help_panel=WAY)
    ] = "60",
    easing: Annotated[Easing, typer.Option(help="Slow down towards key frames.", rich_help_panel=WAY)] = Easing.none,
    pace: Annotated[
        Pace, typer.Option(help="Equal steps of codes, or of what the eye sees.", rich_help_panel=WAY)
    ] = Pace.latent,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE|DIR", help="A .mp4, .gif or .webp file, or a folder of PNGs.", rich_help_panel=FILE),
    ] = Path("walk.mp4"),
    fps: Annotated[float, typer.Option(help="Frames a second.", rich_help_panel=FILE)] = 30.0,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of .mp4 and .webp.", rich_help_panel=FILE)] = 85,
    grid: Annotated[
        str | None,
        typer.Option(
            metavar="3x2", help="Several walks side by side, that share out the key frames.", rich_help_panel=FILE
        ),
    ] = None,
    enlarge: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Draw each pixel as N x N.", rich_help_panel=FILE)
    ] = 1,
    batch: BatchOption = None,
    force: ForceOption = False,
    device: DeviceOption = Device.auto,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Walk from image to image, and write it as a video."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        request = Request(
            seeds=read_seeds(seeds, None) or [],
            latents=latents or [],
            checkpoint=checkpoint,
            tuned=tuned,
            of_class=of_class,
            truncation=truncation,
            truncation_layers=truncation_layers,
            truncation_centres=truncation_centres,
            mix=mix or [],
            space=space,
            curve=curve,
            loop=loop,
            frames=frames,
            easing=easing,
            pace=pace,
            out=out,
            fps=fps,
            quality=quality,
            grid=read_grid(grid) or (1, 1),
            enlarge=enlarge,
            batch=batch,
            force=force,
        )
        request.check()

        from swincli.commands.interpolate import run
        from swincli.system import runtime

        runtime.configure()
        run.interpolate(request, runtime.choose_device(device.value), console)

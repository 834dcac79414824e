"""`swincli project`: the codes of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from swincli.commands.options import (
    BatchOption,
    CheckpointOption,
    DebugOption,
    Device,
    DeviceOption,
    ForceOption,
    JsonOption,
    QuietOption,
    boundary,
)
from swincli.units import LARGEST_SEED

SEEKING, FILES, PICTURES = "How they are sought", "What is written", "Which pictures"


def project(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Pictures, or folders or zips of pictures.")],
    checkpoint: CheckpointOption = None,
    crop: Annotated[
        Literal["center", "none"],
        typer.Option(
            help="Cut the largest square out of the centre, or take square pictures only.", rich_help_panel=PICTURES
        ),
    ] = "center",
    space: Annotated[
        Literal["w", "w+"],
        typer.Option(help="w stays what the model knows; w+ comes closer to the picture.", rich_help_panel=SEEKING),
    ] = "w",
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps of Adam.", rich_help_panel=SEEKING)] = 1000,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Network that compares images: discriminator, stlpips, inception, none, or a TorchScript file such as "
            "vgg16.pt. By default the model's own discriminator, else stlpips.",
            rich_help_panel=SEEKING,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the noise.", rich_help_panel=SEEKING)] = 0,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune", help="Tune the generator to the pictures as well: tuned.safetensors.", rich_help_panel=SEEKING
        ),
    ] = False,
    tune_steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Steps of tuning, each batch.", rich_help_panel=SEEKING)
    ] = 350,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the files.", rich_help_panel=FILES)] = Path(
        "projections"
    ),
    video: Annotated[
        bool, typer.Option("--video", help="Write a video of the search as well.", rich_help_panel=FILES)
    ] = False,
    batch: BatchOption = None,
    force: ForceOption = False,
    device: DeviceOption = Device.auto,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Find the codes whose images come closest to pictures: NAME.npz and NAME.png each, to go on from with sample and
    interpolate."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.commands.project.run import Request
        from swincli.commands.project.run import project as carry_out
        from swincli.system import runtime

        runtime.configure()
        request = Request(
            images=images,
            checkpoint=checkpoint,
            space=space,
            steps=steps,
            out=out,
            tune=tune,
            tune_steps=tune_steps,
            video=video,
            loss=loss,
            crop=crop,
            batch=batch,
            seed=seed,
            force=force,
        )
        carry_out(request, runtime.choose_device(device.value), console)

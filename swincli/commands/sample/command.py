"""`swincli sample`: images of seeds and codes, mixed, swept and looked into."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
from swincli.commands.sample.request import Format, Request, SaveSpace, read_grid, read_seeds

FILES, EDITS, LOOKING = "Where they go", "What is done to them", "Attention"


def sample(
    seeds: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Seeds and ranges of seeds, such as 0-31,45.", rich_help_panel=LATENTS),
    ] = None,
    count: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="So many seeds, such as 50k, from 0 or the one of --seeds on.", rich_help_panel=LATENTS
        ),
    ] = None,
    latents: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz", help="Codes instead of seeds: an array z, w or w_plus.", rich_help_panel=LATENTS
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    tuned: TunedOption = None,
    of_class: ClassOption = None,
    truncation: TruncationOption = 1.0,
    truncation_layers: TruncationLayersOption = None,
    truncation_centres: TruncationCentresOption = None,
    mix: Annotated[
        str | None,
        typer.Option(
            metavar="1,5:9,12@LAYERS",
            help="Seeds of rows, that keep all but the LAYERS (coarse, middle, fine or 0-3) of the columns' seeds.",
            rich_help_panel=EDITS,
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="pca|sefa:0-3@LAYERS", help="Each image along directions found in w.", rich_help_panel=EDITS
        ),
    ] = None,
    sweep_steps: Annotated[
        int, typer.Option(min=2, max=99, metavar="N", help="Images a direction.", rich_help_panel=EDITS)
    ] = 7,
    sweep_range: Annotated[
        float,
        typer.Option(
            help="How far to each side, in standard deviations of w (sefa: along PCA 0).", rich_help_panel=EDITS
        ),
    ] = 3.0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the images.", rich_help_panel=FILES)] = Path(
        "samples"
    ),
    file_format: Annotated[
        Format,
        typer.Option("--format", help="A file an image, or all in one .npz, .zip or store.", rich_help_panel=FILES),
    ] = Format.png,
    grid: Annotated[
        str | None,
        typer.Option(metavar="8x4", help="Write a grid of columns by rows as well.", rich_help_panel=FILES),
    ] = None,
    grid_labels: Annotated[
        bool, typer.Option("--grid-labels", help="Name each image of the grid.", rich_help_panel=FILES)
    ] = False,
    save_latents: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Write the codes of the images as well.", rich_help_panel=FILES),
    ] = None,
    save_space: Annotated[
        SaveSpace | None, typer.Option(help="Which codes: w_plus by default.", rich_help_panel=FILES)
    ] = None,
    attention: Annotated[
        bool,
        typer.Option("--attention", help="Draw where a point of each image looks as well.", rich_help_panel=LOOKING),
    ] = False,
    attention_layers: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Sides of the layers' maps; 16.1 is the first block at 16.", rich_help_panel=LOOKING
        ),
    ] = None,
    attention_at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y", help="Pixel that looks, the centre by default; may be repeated.", rich_help_panel=LOOKING
        ),
    ] = None,
    batch: BatchOption = None,
    force: ForceOption = False,
    device: DeviceOption = Device.auto,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write the images of seeds: seed-000012.png each. The same command again goes on where it was stopped."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        request = Request(
            seeds=read_seeds(seeds, count),
            latents=latents,
            mix=mix,
            checkpoint=checkpoint,
            tuned=tuned,
            of_class=of_class,
            truncation=truncation,
            truncation_layers=truncation_layers,
            truncation_centres=truncation_centres,
            out=out,
            format=file_format,
            grid=read_grid(grid),
            grid_labels=grid_labels,
            save_latents=save_latents,
            save_space=save_space,
            sweep=sweep,
            sweep_steps=sweep_steps,
            sweep_range=sweep_range,
            attention=attention,
            attention_layers=attention_layers,
            attention_at=attention_at or [],
            batch=batch,
            force=force,
        )
        request.check()

        from swincli.commands.sample import run
        from swincli.system import runtime
        from swincli.system.distributed import init_distributed, local_device

        runtime.configure()
        place = runtime.choose_device(local_device(device.value))
        with init_distributed(place) as processes:
            run.sample(request, place, console, processes)

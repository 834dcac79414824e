"""`swincli sample`: images of seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swincli.commands.options import DebugOption, Device, DeviceOption, JsonOption, QuietOption, boundary

LATENTS, FILES = "Which images", "Where they go"


def sample(
    seeds: Annotated[
        str, typer.Option(metavar="LIST", help="Seeds and ranges of seeds, such as 0-31,45.", rich_help_panel=LATENTS)
    ],
    checkpoint: Annotated[
        str | None,
        typer.Option(metavar="RUN|FILE", help="Run folder or model; else the newest run.", rich_help_panel=LATENTS),
    ] = None,
    truncation: Annotated[
        float,
        typer.Option(help="Below 1: more typical, less varied images (0.7 is usual).", rich_help_panel=LATENTS),
    ] = 1.0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the images.", rich_help_panel=FILES)] = Path(
        "samples"
    ),
    grid: Annotated[
        str | None,
        typer.Option(metavar="8x4", help="Write a grid of columns by rows as well.", rich_help_panel=FILES),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Images at once.", rich_help_panel="Everywhere")
    ] = None,
    device: DeviceOption = Device.auto,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write the images of seeds as PNGs: seed-000012.png each, and grid.png with --grid."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.errors import UsageError
        from swincli.units import parse_grid, parse_seeds

        try:
            wanted = parse_seeds(seeds)
        except ValueError as error:
            raise UsageError(f"--seeds {seeds}: {error}", "For example --seeds 0-31,45") from None
        try:
            cells = parse_grid(grid) if grid is not None else None
        except ValueError as error:
            raise UsageError(f"--grid {grid}: {error}", "For example --grid 8x4") from None

        import torch

        from swincli import runtime
        from swincli.model.weights import find_checkpoint, load_model
        from swincli.synthesis.grids import save_png, tile
        from swincli.synthesis.sampling import generate

        runtime.configure()
        model = load_model(find_checkpoint(checkpoint), runtime.choose_device(device.value))
        console.say(f"{model.path}, trained on {model.images_seen:,} images")
        paths: list[Path] = []
        kept: list[torch.Tensor] = []
        with console.progress("Sampling", len(wanted)) as advance:
            for pictures in generate(model, wanted, truncation=truncation, batch=batch):
                for picture in pictures:
                    seed = wanted[len(paths)]
                    path = out / f"seed-{seed:06d}.png"
                    save_png(path, picture, _notes(model.path, seed, truncation))
                    paths.append(path)
                    if cells and len(kept) < cells[0] * cells[1]:
                        kept.append(picture)
                advance(len(pictures))
        grid_path = out / "grid.png" if cells else None
        if cells and grid_path:
            save_png(grid_path, tile(torch.stack(kept), cells[0]))
        console.emit(
            {"images": [str(path) for path in paths], "grid": str(grid_path) if grid_path else None},
            [str(path) for path in (*paths, *([grid_path] if grid_path else []))],
        )


def _notes(checkpoint: Path, seed: int, truncation: float) -> dict[str, str]:
    from swincli import __version__

    return {
        "Software": f"swincli {__version__}",
        "swincli": f"checkpoint={checkpoint.name} seed={seed} truncation={truncation}",
    }

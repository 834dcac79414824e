"""`swincli sample`: images of seeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swincli.commands.options import DebugOption, Device, DeviceOption, JsonOption, QuietOption, boundary

if TYPE_CHECKING:
    import torch

    from swincli.console import Console
    from swincli.model.weights import Model
    from swincli.synthesis.attention_maps import Layer
    from swincli.synthesis.named_images import NamedImages

LATENTS, FILES, LOOKING = "Which images", "Where they go", "Attention"


def sample(
    seeds: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Seeds and ranges of seeds, such as 0-31,45.", rich_help_panel=LATENTS),
    ] = None,
    latents: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz", help="Codes instead of seeds: an array z, w or w_plus.", rich_help_panel=LATENTS
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(metavar="RUN|FILE", help="Run folder or model; else the newest run.", rich_help_panel=LATENTS),
    ] = None,
    of_class: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="NAMES",
            help="Classes of a conditional model, by name or number; else one is drawn for each seed.",
            rich_help_panel=LATENTS,
        ),
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
        wanted, cells = _read_seeds(seeds), _read_grid(grid)
        _check_sides(wanted, latents, of_class, attention, bool(attention_layers or attention_at))

        import torch

        from swincli import runtime
        from swincli.model.weights import find_checkpoint, load_model
        from swincli.synthesis.grids import save_png, tile

        runtime.configure()
        model = load_model(find_checkpoint(checkpoint), runtime.choose_device(device.value))
        views = _views(model, attention_layers, attention_at) if attention else None
        named, batches = _images(model, wanted, latents, of_class, truncation, batch)
        console.say(f"{model.path}, trained on {model.images_seen:,} images")
        paths: list[Path] = []
        kept: list[torch.Tensor] = []
        with console.progress("Sampling", len(named)) as advance:
            for pictures in batches:
                for picture in pictures:
                    path = out / f"{named.stems[len(paths)]}.png"
                    save_png(path, picture, _notes(model, named, len(paths), truncation))
                    paths.append(path)
                    if cells and len(kept) < cells[0] * cells[1]:
                        kept.append(picture)
                advance(len(pictures))
        grid_path = out / "grid.png" if cells else None
        if cells and grid_path:
            save_png(grid_path, tile(torch.stack(kept), cells[0]))
        pages = _draw_attention(console, model, named, truncation, out, views) if views else []
        console.emit(
            {
                "images": [str(path) for path in paths],
                "grid": str(grid_path) if grid_path else None,
                "attention": [str(page) for page in pages],
                "classes": named.class_names,
            },
            [str(path) for path in (*paths, *([grid_path] if grid_path else []), *pages)],
        )


def _read_seeds(text: str | None) -> list[int] | None:
    from swincli.errors import UsageError
    from swincli.units import parse_seeds

    try:
        return None if text is None else parse_seeds(text)
    except ValueError as error:
        raise UsageError(f"--seeds {text}: {error}", "For example --seeds 0-31,45") from None


def _read_grid(text: str | None) -> tuple[int, int] | None:
    from swincli.errors import UsageError
    from swincli.units import parse_grid

    try:
        return None if text is None else parse_grid(text)
    except ValueError as error:
        raise UsageError(f"--grid {text}: {error}", "For example --grid 8x4") from None


def _check_sides(
    seeds: list[int] | None, latents: Path | None, of_class: str | None, attention: bool, looking: bool
) -> None:
    from swincli.errors import UsageError

    if (seeds is None) == (latents is None):
        raise UsageError("--seeds, --latents: exactly one of them says which images", "For example --seeds 0-31,45")
    if latents is not None and (of_class or attention):
        raise UsageError("--class, --attention: they go with --seeds, not with --latents", "Leave them out.")
    if looking and not attention:
        raise UsageError("--attention-layers, --attention-at: no attention is drawn", "Add --attention.")


def _images(
    model: Model,
    seeds: list[int] | None,
    latents: Path | None,
    of_class: str | None,
    truncation: float,
    batch: int | None,
) -> tuple[NamedImages, Iterator[torch.Tensor]]:
    """What is to be drawn, and the drawing of it."""
    from swincli.synthesis.classes import name_images
    from swincli.synthesis.latent_files import name_latents, read_latents
    from swincli.synthesis.sampling import generate, generate_from
    from swincli.synthesis.truncation import Truncation

    if latents is not None:
        codes = read_latents(latents, model.recipe.model)
        return name_latents(codes, latents), generate_from(model, codes, truncation=Truncation(truncation), batch=batch)
    named = name_images(model, seeds or [], of_class)
    return named, generate(model, named.seeds, truncation=Truncation(truncation), batch=batch, labels=named.labels)


Views = tuple["list[Layer]", list[tuple[int, int]]]


def _views(model: Model, layers: str | None, points: list[str] | None) -> Views:
    """The layers and points that are asked for, or the ones by default.

    Raises:
        UsageError: the model has no such layer, or the image no such point.
    """
    from swincli.synthesis.attention_maps import default_layers, parse_layers, parse_point

    section = model.recipe.model
    chosen = parse_layers(layers, section) if layers is not None else default_layers(section)
    centre = (section.size // 2, section.size // 2)
    return chosen, [parse_point(point, section.size) for point in points or []] or [centre]


def _draw_attention(
    console: Console, model: Model, named: NamedImages, truncation: float, out: Path, views: Views
) -> list[Path]:
    import torch

    from swincli.synthesis.attention_picture import attention_page
    from swincli.synthesis.grids import save_png
    from swincli.synthesis.truncation import Truncation

    paths = []
    with console.progress("Drawing attention", len(named)) as advance:
        for index, (seed, stem) in enumerate(zip(named.seeds, named.stems, strict=True)):
            page = attention_page(model, seed, *views, truncation=Truncation(truncation), label=named.label(index))
            path = out / f"{stem}-attention.png"
            save_png(path, torch.from_numpy(page), _notes(model, named, index, truncation))
            paths.append(path)
            advance()
    return paths


def _notes(model: Model, named: NamedImages, index: int, truncation: float) -> dict[str, str]:
    from swincli import __version__

    settings = f"checkpoint={model.path.name} {named.origin(index)} truncation={truncation}"
    if named.class_names is not None:
        settings += f" class={named.class_names[index]}"
    return {"Software": f"swincli {__version__}", "swincli": settings}

"""`swincli evaluate`: how close pictures come to real ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from swincli.commands.options import DebugOption, Device, DeviceOption, JsonOption, QuietOption, boundary

if TYPE_CHECKING:
    import torch
    from rich.table import Table

    from swincli.metrics.evaluation import Evaluation
    from swincli.metrics.streams import ImageStream

_FAKES, _REFERENCE, _MEASURE = "What is judged", "What it is judged by", "How"


def evaluate(
    data: Annotated[
        str,
        typer.Option(
            metavar="STORE|DIR|ZIP", help="Real pictures; all are used, and remembered.", rich_help_panel=_REFERENCE
        ),
    ],
    metric: Annotated[
        str, typer.Option(metavar="NAMES", help="Metrics, separated by commas.", rich_help_panel=_MEASURE)
    ] = "fid",
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|FILE", help="Run folder or model; the newest run by default.", rich_help_panel=_FAKES
        ),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|STORE|ZIP", help="Judge these pictures instead of a model's.", rich_help_panel=_FAKES
        ),
    ] = None,
    num: Annotated[
        str, typer.Option(metavar="N", help='Pictures to judge, such as "10k".', rich_help_panel=_FAKES)
    ] = "50000",
    seed: Annotated[
        int,
        typer.Option(min=0, help="Images of seeds SEED x NUM and on; or which of --images.", rich_help_panel=_FAKES),
    ] = 0,
    truncation: Annotated[
        float, typer.Option(min=0, help="Below 1: more typical, less varied images.", rich_help_panel=_FAKES)
    ] = 1.0,
    detector: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Network that looks at the pictures: inception, efficientnet, or a TorchScript file.",
            rich_help_panel=_MEASURE,
        ),
    ] = "inception",
    detector_size: Annotated[
        int,
        typer.Option(
            min=8, metavar="N", help="Side in pixels that a detector from a file takes.", rich_help_panel=_MEASURE
        ),
    ] = 224,
    detector_pixels: Annotated[
        Literal["imagenet", "clip", "inception", "0-1", "0-255"],
        typer.Option(help="How a detector from a file expects pixels.", rich_help_panel=_MEASURE),
    ] = "imagenet",
    detector_weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The detector's TorchScript file, or another one's.", rich_help_panel=_MEASURE
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
    """Measure how close generated pictures, or any others, come to real ones."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.errors import ResourceError

        count = _read_count(num)
        _check_sides(images, checkpoint, truncation)
        from swincli import runtime
        from swincli.metrics.detectors import load_detector
        from swincli.metrics.evaluation import evaluate as measure
        from swincli.metrics.protocol import append_record
        from swincli.metrics.streams import open_images
        from swincli.metrics.table import parse_metrics
        from swincli.metrics.weights import choose_detector

        names = parse_metrics(metric)
        weights = choose_detector(detector, detector_weights, detector_size, detector_pixels, console)
        runtime.configure()
        place = runtime.choose_device(device.value)
        with (
            open_images(data) as reference,
            _open_fakes(images, checkpoint, count, seed, truncation, batch, place) as fakes,
        ):
            network = load_detector(weights, place)
            result = measure(fakes, reference, names, network, console=console, seed=seed, batch=batch)
        console.show(_table(result))
        for caution in result.cautions:
            console.warn(caution)
        console.emit(result.as_dict(), [f"{name} {value:.5g}" for name, value in result.values.items()])
        run = _run_of(fakes.origin.source) if images is None else None
        if run is not None:
            try:
                append_record(run, result.values, result.protocol)
            except ResourceError as error:
                console.warn(f"not recorded in the run: {error.message}")


def _read_count(text: str) -> int:
    from swincli.errors import UsageError
    from swincli.units import parse_count

    try:
        count = parse_count(text)
    except ValueError as error:
        raise UsageError(f"--num: {error}") from None
    if count < 2:
        raise UsageError(f"--num {text}: measuring takes at least 2 pictures")
    return count


def _check_sides(images: str | None, checkpoint: str | None, truncation: float) -> None:
    from swincli.errors import UsageError

    if images is not None and checkpoint is not None:
        raise UsageError("--images and --checkpoint: only one of them can be judged", "Leave one of them out.")
    if images is not None and truncation != 1.0:
        raise UsageError("--truncation: pictures that are there already cannot be truncated", "Leave it out.")


@contextmanager
def _open_fakes(
    images: str | None,
    checkpoint: str | None,
    count: int,
    seed: int,
    truncation: float,
    batch: int | None,
    place: torch.device,
) -> Iterator[ImageStream]:
    from swincli.metrics.streams import fake_seeds, model_origin, open_images, stream_batches, stream_subset
    from swincli.model.weights import find_checkpoint, load_model
    from swincli.synthesis.classes import labels_as_trained
    from swincli.synthesis.sampling import generate

    if images is not None:
        with open_images(images) as chosen:
            yield stream_subset(chosen, count, seed)
    else:
        seeds = fake_seeds(count, seed)
        model = load_model(find_checkpoint(checkpoint), place)
        labels = labels_as_trained(model, seeds)
        pictures = generate(model, seeds, truncation=truncation, batch=batch, labels=labels)
        yield stream_batches(pictures, model_origin(model, seeds, truncation))


def _run_of(model: str) -> Path | None:
    """The run folder that a model file lies in, if it is one."""
    folder = Path(model).parent
    return folder if (folder / "recipe.toml").is_file() else None


def _table(result: Evaluation) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in result.values.items():
        table.add_row(f"[bold]{name}[/]", f"[bold]{value:.5g}[/]")
    for name, text in result.protocol.rows():
        table.add_row(name, escape(text))
    return table

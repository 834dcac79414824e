"""`swincli evaluate`: how close pictures come to real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from swincli.commands.options import (
    BatchOption,
    DebugOption,
    Device,
    DeviceOption,
    JsonOption,
    QuietOption,
    boundary,
    given_options,
    read_count,
)

_FAKES, _REFERENCE, _MEASURE = "What is judged", "What it is judged by", "How"
_RESULTS = "What comes of it"


def evaluate(
    context: typer.Context,
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Runs to compare, with --compare.")] = None,
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
        str | None,
        typer.Option(metavar="N", help='Pictures to judge, such as "10k"; 50k by default.', rich_help_panel=_FAKES),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Images of seeds SEED x NUM and on; or which of --images.", rich_help_panel=_FAKES),
    ] = 0,
    truncation: Annotated[
        float, typer.Option(min=0, help="Below 1: more typical, less varied images.", rich_help_panel=_FAKES)
    ] = 1.0,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="STORE|DIR|ZIP",
            help="Real pictures; all are used, and remembered.",
            rich_help_panel=_REFERENCE,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Statistics in place of --data: of --save-reference, or another program's mu and sigma.",
            rich_help_panel=_REFERENCE,
        ),
    ] = None,
    num_reference: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Take so many of --data, drawn with --seed; all by default.", rich_help_panel=_REFERENCE
        ),
    ] = None,
    save_reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Write what the metrics need of --data; judges nothing unless told what.",
            rich_help_panel=_REFERENCE,
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option(metavar="NAMES", help="Metrics, separated by commas.", rich_help_panel=_MEASURE)
    ] = "fid",
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A known protocol: styleswin (50k images by 50k real ones) or full (50k by all).",
            rich_help_panel=_MEASURE,
        ),
    ] = None,
    detector: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Network that looks at the pictures: inception, efficientnet, or a TorchScript file.",
            rich_help_panel=_MEASURE,
        ),
    ] = "inception",
    detector_size: Annotated[
        int | None,
        typer.Option(
            min=8,
            metavar="N",
            help="Side in pixels that a detector from a file takes; 224 by default.",
            rich_help_panel=_MEASURE,
        ),
    ] = None,
    detector_pixels: Annotated[
        Literal["imagenet", "clip", "inception", "0-1", "0-255"] | None,
        typer.Option(help="How a detector from a file expects pixels; imagenet by default.", rich_help_panel=_MEASURE),
    ] = None,
    detector_weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Inception's TorchScript file, or another one in its place.", rich_help_panel=_MEASURE
        ),
    ] = None,
    intervals: Annotated[
        bool | None,
        typer.Option(
            "--intervals/--no-intervals",
            help="95 % intervals beside the values; by default where the pictures are few.",
            show_default=False,
            rich_help_panel=_RESULTS,
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write pictures and plots of the metrics there.", rich_help_panel=_RESULTS),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Compare the measurements of RUN ... instead.", rich_help_panel=_RESULTS),
    ] = False,
    batch: BatchOption = None,
    device: DeviceOption = Device.auto,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure how close generated pictures, or any others, come to real ones; or compare what runs have measured."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.commands.evaluate import run
        from swincli.metrics.presets import choose_counts
        from swincli.system.torchrun_env import is_secondary

        if compare:
            run.check_compare(runs, given_options(context))
            if not is_secondary():
                run.compare(runs or [], plots, console)
            return
        run.check_no_runs(runs)
        counts = read_count("--num", num), read_count("--num-reference", num_reference)
        numbers = choose_counts(protocol, *counts, truncation)
        fakes = run.FakesAsked(images, checkpoint, numbers.num, seed, truncation, batch)
        real = run.RealAsked(data, reference, numbers, seed, save_reference)
        fakes.check()
        real.check(protocol, num_reference is not None)
        from swincli.metrics.networks.detectors import load_detector
        from swincli.metrics.networks.weight_files import choose_detector
        from swincli.metrics.registry import parse_metrics
        from swincli.system import runtime
        from swincli.system.distributed import init_distributed, local_device

        names = parse_metrics(metric)
        runtime.configure()
        place = runtime.choose_device(local_device(device.value))
        with init_distributed(place) as processes:
            weights = processes.main_first(
                lambda: choose_detector(detector, detector_weights, detector_size, detector_pixels, console)
            )
            how = run.How(names, lambda: load_detector(weights, place), place, intervals, plots, batch)
            run.measure(fakes, real, how, console, processes)

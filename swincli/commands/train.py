"""`swincli train`: start a run, or go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from swincli.commands.options import (
    EXPERIMENT,
    DataOption,
    DebugOption,
    Device,
    DeviceOption,
    JsonOption,
    OverridesOption,
    QuietOption,
    boundary,
    overrides_of,
)

RUN = "The run"


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's path, or a shipped recipe's name.")],
    overrides: OverridesOption = None,
    data: DataOption = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of everything (train.seed).", rich_help_panel=EXPERIMENT)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run folder; runs/NAME of the recipe by default.", rich_help_panel=RUN),
    ] = None,
    resume: Annotated[
        Literal["auto", "never"],
        typer.Option(help="Go on with a run that is there, or never touch one.", rich_help_panel=RUN),
    ] = "auto",
    max_time: Annotated[
        str | None,
        typer.Option(
            metavar="3h50m",
            help="Stop and save in time to have ended this long after the start; the same command goes on.",
            rich_help_panel=RUN,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check recipe, data and networks; write nothing.", rich_help_panel=RUN)
    ] = False,
    device: DeviceOption = Device.auto,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a recipe's networks. The same command again goes on where the run was stopped."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.recipe import load_recipe

        seconds = None if max_time is None else _read_duration("--max-time", max_time)
        loaded = load_recipe(recipe, overrides_of(overrides, data, seed))

        from swincli.model.files.find_checkpoint import RUNS
        from swincli.system import runtime
        from swincli.system.distributed import init_distributed, local_device
        from swincli.system.torchrun_env import world_size
        from swincli.training.loop import train as train_run
        from swincli.training.preflight import describe_plan, open_training_store

        folder = out or RUNS / (loaded.run.name or Path(recipe).stem)
        runtime.configure(tf32=loaded.run.tf32)
        place = runtime.choose_device(local_device(device.value))
        if dry_run:
            facts = {"run": str(folder), **describe_plan(loaded, console, world_size())}
            console.emit(facts, [f"{name}: {value}" for name, value in facts.items()])
            return
        with init_distributed(place) as processes:
            processes.from_main(lambda: len(open_training_store(loaded, console)))  # prepared once
            store = open_training_store(loaded, console)
            result = train_run(
                loaded,
                store,
                folder,
                place,
                console,
                resume=resume == "auto",
                max_time=seconds,
                processes=processes,
            )
        if processes.is_main:
            console.emit(
                {"run": str(result.run), "images_seen": result.images_seen, "model": str(result.model)},
                [str(result.model)],
            )


def _read_duration(option: str, text: str) -> float:
    from swincli.errors import UsageError
    from swincli.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None

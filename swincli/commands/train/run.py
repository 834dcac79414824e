"""`swincli train`: trains a recipe's networks, or resumes a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from swincli.commands.options import EXPERIMENT, DataOption, OverridesOption, parsed, recipe_overrides
from swincli.commands.typer_command import Result, device_command

if TYPE_CHECKING:
    import torch

    from swincli.console import Console
    from swincli.recipe import Recipe
    from swincli.system.distributed import Processes

RUN = "Run"


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """The options of `swincli train`: the recipe with its overrides, the run folder, and how long to train."""

    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Path of a recipe, or name of a shipped one.")]
    overrides: OverridesOption = None
    data: DataOption = None
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Random seed (train.seed).", rich_help_panel=EXPERIMENT)
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run folder; default: runs/NAME of the recipe.", rich_help_panel=RUN),
    ] = None
    resume: Annotated[
        Literal["auto", "never"],
        typer.Option(help="Resume an existing run, or never touch one.", rich_help_panel=RUN),
    ] = "auto"
    max_time: Annotated[
        str | None,
        typer.Option(
            metavar="3h50m",
            help="Save and stop before this much time has passed since the start; the same command resumes.",
            rich_help_panel=RUN,
        ),
    ] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check recipe, data and networks; write nothing.", rich_help_panel=RUN)
    ] = False

    @cached_property
    def loaded_recipe(self) -> Recipe:
        """The recipe with everything it extends and all overrides.

        Raises:
            RecipeError: it is missing or has problems.
        """
        from swincli.recipe import load_recipe

        return load_recipe(self.recipe, recipe_overrides(self.overrides, self.data, self.seed))

    @property
    def max_seconds(self) -> float | None:
        """`--max-time` in seconds; None for no limit.

        Raises:
            UsageError: not a duration.
        """
        from swincli.units import parse_duration

        hint = "For example --max-time 3h50m"
        return None if self.max_time is None else parsed("--max-time", self.max_time, parse_duration, hint)

    def check(self) -> None:
        """Check the time limit and the recipe.

        Raises:
            UsageError: either cannot be read.
        """
        _ = self.max_seconds, self.loaded_recipe


@device_command(TrainRequest)
def train(request: TrainRequest, device: torch.device, console: Console) -> Result:
    """Train the networks of a recipe. The same command resumes a stopped run."""
    from swincli.system.distributed import init_distributed

    if request.dry_run:
        return run(request, device, console)
    with init_distributed(device) as processes:
        return run(request, device, console, processes)


def run(request: TrainRequest, device: torch.device, console: Console, processes: Processes | None = None) -> Result:
    """Train, or with `dry_run` only check and describe the run.

    Args:
        request: Checked options.
        device: Where the networks of this rank go.
        console: Receives messages, warnings and the live view.
        processes: The ranks that train together; one by default.

    Raises:
        SwincliError: as `describe_plan`, `open_training_store` and `training.loop.train` do.
    """
    from swincli.model.files.find_checkpoint import RUNS
    from swincli.system import runtime
    from swincli.system.distributed import Processes
    from swincli.system.torchrun_env import world_size
    from swincli.training import loop
    from swincli.training.preflight import describe_plan, open_training_store

    recipe = request.loaded_recipe
    folder = request.out or RUNS / (recipe.run.name or Path(request.recipe).stem)
    runtime.configure(tf32=recipe.run.tf32)
    if request.dry_run:
        facts = {"run": str(folder), **describe_plan(recipe, console, world_size())}
        return Result(facts, [f"{name}: {value}" for name, value in facts.items()])
    processes = processes or Processes()
    processes.from_main(lambda: len(open_training_store(recipe, console)))  # prepared once, by the main process
    result = loop.train(
        recipe,
        open_training_store(recipe, console),
        folder,
        device,
        console,
        resume=request.resume == "auto",
        max_time=request.max_seconds,
        processes=processes,
    )
    return Result(
        {"run": str(result.run), "images_seen": result.images_seen, "model": str(result.model)}, [str(result.model)]
    )

"""What `swincli train` is asked for: recipes with overrides, their run folders, and how long to train."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from swincli.commands.options import EXPERIMENT, DataOption, OverridesOption, parsed, recipe_overrides
from swincli.commands.typer_command import GivenOptions

if TYPE_CHECKING:
    from swincli.console import Console
    from swincli.errors import RecipeError, UsageError
    from swincli.recipe import Recipe

RUN = "Run"
ON_WINDOWS = os.name == "nt"
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}


@dataclass(frozen=True)
class Entry:
    """One run that is asked for.

    Attributes:
        name: The recipe as it was given: a path, or the name of a shipped one.
        recipe: The recipe with everything it extends and all overrides.
        folder: The run folder.
        warnings: What the recipe's files say in vain, and pictures that nobody may have meant.
    """

    name: str
    recipe: Recipe
    folder: Path
    warnings: tuple[str, ...] = ()

    def warn(self, console: Console) -> None:
        """Print the warnings."""
        for warning in self.warnings:
            console.warn(warning)


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """The options of `swincli train`: the recipes with their overrides, the run folder, and how long to train."""

    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE", help="Path of a recipe, or name of a shipped one; several train one after another."
        ),
    ]
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
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            help="Train in the background, with the output in RUN/train.log; returns after the first steps.",
            rich_help_panel=RUN,
        ),
    ] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check recipe, data and networks; write nothing.", rich_help_panel=RUN)
    ] = False
    queued: Annotated[bool, typer.Option("--queued", hidden=True)] = False  # a queue started this process
    given: GivenOptions = ()

    @cached_property
    def entries(self) -> list[Entry]:
        """The runs, in the order of the command line. Every recipe is read once, so it may be a pipe.

        Raises:
            UsageError: a recipe is missing or has problems, or a run folder cannot have its name.
        """
        from swincli.errors import RecipeError
        from swincli.recipe.loading import load_with_warnings

        overrides = recipe_overrides(self.overrides, self.data, self.seed)
        found: list[Entry] = []
        errors: list[RecipeError] = []
        for name in self.recipes:
            try:
                recipe, warnings = load_with_warnings(name, overrides)
            except RecipeError as error:
                errors.append(error)
            else:
                warnings = [*warnings, *self._other_pictures(recipe)]
                found.append(Entry(name, recipe, self.out or default_folder(recipe, name), tuple(warnings)))
        if errors:
            raise _together(errors)
        return found

    def _other_pictures(self, recipe: Recipe) -> list[str]:
        """A warning if `--data` is not there and would be made of pictures that only the recipe names."""
        named = any(override.split("=")[0].strip() == "data.source" for override in self.overrides or [])
        if self.data is None or recipe.data.source is None or named or Path(self.data).exists():
            return []
        return [f"--data {self.data} does not exist: it will be made of the recipe's data.source, {recipe.data.source}"]

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
        """Check the time limit, the recipes, that no two runs share a folder, and `--detach`.

        Raises:
            UsageError: they cannot be read, or cannot be a queue, or a new folder's name is not UTF-8.
        """
        from swincli.system.overwrite import check_utf8

        if self.detach:
            self._check_detach()
        _ = self.max_seconds, self.entries
        for entry in self.entries:
            if not entry.folder.exists():  # a run of before goes on
                check_utf8(entry.folder)
        if len(self.recipes) > 1:
            self._check_queue()

    def _check_detach(self) -> None:
        from swincli.errors import UsageError
        from swincli.recipe.shipped import is_stream
        from swincli.system.torchrun_env import is_distributed

        if self.dry_run:
            raise UsageError("--detach: --dry-run does not train", "Leave one of them out.")
        if len(self.recipes) > 1:
            raise UsageError(
                "--detach: a queue writes to several run folders, so it has no log of its own",
                f"Start it in the background: nohup swincli train {' '.join(self.recipes)} > queue.log 2>&1 &",
            )
        if is_stream(Path(self.recipes[0])):
            raise UsageError(f"--detach: {self.recipes[0]} can be read only once", "Write the recipe into a file.")
        if is_distributed():
            raise UsageError(
                "--detach: not under torchrun", "Start torchrun itself in the background: nohup torchrun ... &"
            )

    def _check_queue(self) -> None:
        from swincli.errors import UsageError
        from swincli.system.torchrun_env import is_distributed, is_under_torchrun

        if is_under_torchrun() or is_distributed():
            raise UsageError(
                "several recipes: cannot be trained one after another under torchrun",
                "Start torchrun once for each recipe, or swincli without torchrun.",
            )
        if self.out is not None:
            raise UsageError(
                f"--out {self.out}: several recipes cannot share one run folder",
                "Leave --out away: each run is in runs/NAME of its recipe; run.name gives it another name.",
            )
        names: dict[str, str] = {}
        for entry in self.entries:
            place = os.path.normcase(entry.folder.resolve())
            if place in names:
                raise UsageError(
                    f"{names[place]} and {entry.name}: would share the run folder {entry.folder}",
                    "Set run.name in one of them.",
                )
            names[place] = entry.name


def default_folder(recipe: Recipe, name: str) -> Path:
    """`runs/NAME`: `run.name`, or the name of the recipe's file.

    Args:
        recipe: The recipe.
        name: Its path or its name.

    Raises:
        UsageError: the recipe came from a pipe, which has no name; or Windows has no folders of that name.
    """
    from swincli.errors import UsageError
    from swincli.model.files.find_checkpoint import RUNS
    from swincli.recipe.shipped import is_stream

    if recipe.run.name is None and is_stream(Path(name)):
        raise UsageError(
            f"{name}: a recipe from a pipe has no name, which the run folder would have",
            "Give --out DIR, or set run.name in the recipe.",
        )
    key, folder = ("run.name", recipe.run.name) if recipe.run.name else (name, Path(name).stem)
    if ON_WINDOWS and not is_windows_name(folder):
        raise UsageError(f'{key}: Windows has no folder named "{folder}"', "Set another run.name, or give --out DIR.")
    return RUNS / folder


def is_windows_name(name: str) -> bool:
    """Whether Windows can have a folder of this name under another folder: no drive (`D:`), device or stream."""
    stem = name.split(".")[0].rstrip(" ").upper()
    return not (stem in _DEVICES or set(name) & set(':<>"|?*') or name != name.rstrip(" ."))


def _together(errors: list[RecipeError]) -> UsageError:
    """One error for all recipes with problems."""
    from swincli.errors import UsageError
    from swincli.units import format_lines

    if len(errors) == 1:
        return errors[0]
    lines = [line for error in errors for line in error.message.splitlines()]
    return UsageError(f"{len(errors)} recipes have problems\n{format_lines(lines)}", errors[0].hint)

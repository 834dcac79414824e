"""Options that several commands share, as annotations of request fields; and the parsing of option values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

T = TypeVar("T")

GENERAL, EXPERIMENT, SOURCE = "General", "Experiment", "Model and images"
"""Panel titles that the help of several commands shares."""

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout instead of lines.", rich_help_panel=GENERAL)
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.", rich_help_panel=GENERAL)
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=GENERAL)]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(help="Device of the networks; auto picks CUDA, else MPS, else the CPU.", rich_help_panel=GENERAL),
]
BatchOption = Annotated[int | None, typer.Option(min=1, metavar="N", help="Images per batch.", rich_help_panel=GENERAL)]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite existing files.", rich_help_panel=GENERAL)]

OverridesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="section.key=value", help="Override a recipe key; repeatable.", rich_help_panel=EXPERIMENT
    ),
]
DataOption = Annotated[
    str | None, typer.Option(metavar="PATH", help="Image store (data.path).", rich_help_panel=EXPERIMENT)
]

CheckpointOption = Annotated[
    str | None,
    typer.Option(
        metavar="RUN|FILE",
        help="Run folder, model file, builtin:NAME or hf:OWNER/NAME; default: the newest run.",
        rich_help_panel=SOURCE,
    ),
]
TunedOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Apply the tuned weights written by `project --tune`.", rich_help_panel=SOURCE),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="NAMES",
        help="Classes of a conditional model, by name or number; default: one drawn per seed.",
        rich_help_panel=SOURCE,
    ),
]
LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="NAME=VALUE,...",
        help="Attributes of a model with attributes, e.g. hair=red,glasses=yes,age=30; others are drawn as they occur "
        "together in training. NAME=A|B draws these values in turn, NAME=all every one. May be repeated.",
        rich_help_panel=SOURCE,
    ),
]
TextsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--text", metavar="TEXT", help="What the images show, for models of texts; repeatable.", rich_help_panel=SOURCE
    ),
]
TextFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Texts from a file, one a line.", rich_help_panel=SOURCE)
]
GuidanceOption = Annotated[
    float,
    typer.Option(
        help="Above 1: more of the text, less varied (2 to 4 is usual); 0 leaves the text out.", rich_help_panel=SOURCE
    ),
]
TruncationOption = Annotated[
    float, typer.Option(help="Below 1: more typical, less varied images (0.7 is usual).", rich_help_panel=SOURCE)
]
TruncationLayersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Truncate only the first N codes of w+; the finer ones keep their variety.",
        rich_help_panel=SOURCE,
    ),
]
TruncationCentresOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="K", help="Truncate towards the nearest of K cluster centres of w.", rich_help_panel=SOURCE
    ),
]

EditOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=STEPS,...",
        help="Move the images along directions of `swincli directions`, in standard deviations; repeatable.",
        rich_help_panel=SOURCE,
    ),
]


def parsed(option: str, text: str, parse: Callable[[str], T], hint: str | None = None) -> T:
    """Parse the value of an option; the error names the option.

    Args:
        option: Name of the option, such as "--frames".
        text: Its value on the command line.
        parse: Returns the parsed value, or raises `ValueError` with a complete message.
        hint: Hint of the error, such as an example.

    Raises:
        UsageError: `parse` raised `ValueError`.
    """
    from swincli.errors import UsageError

    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}", hint) from None


def refuse_given(given: Sequence[str], options: Sequence[str], where: str, hint: str) -> None:
    """Refuse options that would have no effect.

    Args:
        given: The options on the command line, of `GivenOptions`.
        options: Those that would have none, such as "--num".
        where: Where they have none, such as "with --scores".
        hint: Hint of the error.

    Raises:
        UsageError: one of them is given.
    """
    found = [option for option in options if option in given]
    if found:
        from swincli.errors import UsageError

        raise UsageError(f"{', '.join(found)}: no effect {where}", hint)


def require_truncation(strength: float) -> None:
    """Check `--truncation`.

    Raises:
        UsageError: not a finite number.
    """
    if not math.isfinite(strength):
        from swincli.errors import UsageError

        raise UsageError(f"--truncation {strength}: must be a finite number", "1 changes nothing, 0.7 is usual.")


def parsed_count(option: str, text: str | None) -> int | None:
    """A number of images such as "10k"; None if the option was not given.

    Raises:
        UsageError: not a number of images.
    """
    from swincli.units import parse_count

    return None if text is None else parsed(option, text, parse_count, f"For example {option} 50k")


def measured_images(text: str, least: int = 2, most: int | None = None) -> int:
    """How many images a measurement draws, from `--num`.

    Raises:
        UsageError: not a number of images, or outside `least` to `most`.
    """
    from swincli.errors import UsageError

    number = parsed_count("--num", text) or 0
    if number < least or (most is not None and number > most):
        allowed = f"at least {least}" if most is None else f"from {least} to {most:,}"
        raise UsageError(f"--num {text}: must be {allowed}", "For example --num 10k")
    return number


def parsed_seeds(text: str | None) -> list[int] | None:
    """The seeds of `--seeds`, in the order written; None if the option was not given.

    Raises:
        UsageError: not a list of seeds.
    """
    from swincli.units import parse_seeds

    return None if text is None else parsed("--seeds", text, parse_seeds, "For example --seeds 0-31,45")


def parsed_grid(text: str | None) -> tuple[int, int] | None:
    """Columns and rows of `--grid`; None if the option was not given.

    Raises:
        UsageError: not a grid size.
    """
    from swincli.units import parse_grid

    return None if text is None else parsed("--grid", text, parse_grid, "For example --grid 8x4")


def recipe_overrides(overrides: list[str] | None, data: str | None, seed: int | None = None) -> list[str]:
    """Overrides of a recipe in the order in which they apply: `--set`, then `--data` and `--seed`."""
    flags = [f"data.path={json.dumps(data, ensure_ascii=False)}"] if data is not None else []
    flags += [f"train.seed={seed}"] if seed is not None else []
    return [*(overrides or []), *flags]

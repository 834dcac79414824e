"""Options that every command shares, and the error boundary around every command's body."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from swincli.console import Console

PANEL = "Everywhere"


class Device(StrEnum):
    """Where networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout instead of lines.", rich_help_panel=PANEL)
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.", rich_help_panel=PANEL)
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=PANEL)]
DeviceOption = Annotated[
    Device, typer.Option(help="Where the networks run; auto takes CUDA, then MPS, then the CPU.", rich_help_panel=PANEL)
]


EXPERIMENT = "The experiment"
OverridesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="section.key=value", help="Change a key; may be repeated.", rich_help_panel=EXPERIMENT
    ),
]
DataOption = Annotated[
    str | None, typer.Option(metavar="PATH", help="Store of images (data.path).", rich_help_panel=EXPERIMENT)
]


def overrides_of(overrides: list[str] | None, data: str | None, seed: int | None = None) -> list[str]:
    """Overrides of a recipe in their order: those of --set, then --data and --seed, which win."""
    flags = [f"data.path={json.dumps(data, ensure_ascii=False)}"] if data is not None else []
    flags += [f"train.seed={seed}"] if seed is not None else []
    return [*(overrides or []), *flags]


LATENTS = "Which images"
CheckpointOption = Annotated[
    str | None,
    typer.Option(metavar="RUN|FILE", help="Run folder or model; else the newest run.", rich_help_panel=LATENTS),
]
TunedOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="What `project --tune` changed of the model, to be put on it.", rich_help_panel=LATENTS
    ),
]
ClassOption = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="NAMES",
        help="Classes of a conditional model, by name or number; else one is drawn for each seed.",
        rich_help_panel=LATENTS,
    ),
]
TruncationOption = Annotated[
    float, typer.Option(help="Below 1: more typical, less varied images (0.7 is usual).", rich_help_panel=LATENTS)
]
TruncationLayersOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Truncate the first N codes of w+ only; the finer ones vary.", rich_help_panel=LATENTS
    ),
]
TruncationCentresOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="K", help="Truncate towards the nearest of K cluster centres of w.", rich_help_panel=LATENTS
    ),
]
BatchOption = Annotated[int | None, typer.Option(min=1, metavar="N", help="Images at once.", rich_help_panel=PANEL)]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite what is there.", rich_help_panel=PANEL)]


def read_count(option: str, text: str | None) -> int | None:
    """A number of images such as "10k", as an option gives it; None where it is left out.

    Raises:
        UsageError: no number.
    """
    from swincli.errors import UsageError
    from swincli.units import parse_count

    try:
        return None if text is None else parse_count(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", f"For example {option} 50k") from None


def given_options(context: typer.Context) -> list[str]:
    """The options that stand on the command line, such as "--data", in the order of the help."""
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.param_type_name == "option" and _is_given(context, parameter.name)
    ]


def _is_given(context: typer.Context, name: str | None) -> bool:
    source = context.get_parameter_source(name) if name is not None else None
    return source is not None and source.name == "COMMANDLINE"


@contextmanager
def boundary(*, json_mode: bool, quiet: bool, debug: bool) -> Iterator[Console]:
    """Hand out the console and turn every error of the body into `error:`, `hint:` and an exit code.

    Expected errors exit with their own code, refusals of the operating system and bugs with 1, Ctrl-C with 130. With
    `debug` the traceback is shown as well. Of several processes only one says what all of them have found.
    """
    from swincli.console import Console
    from swincli.errors import SwincliError, from_os_error
    from swincli.system.torchrun_env import is_secondary

    console = Console(json_mode=json_mode, quiet=quiet or is_secondary())
    try:
        yield console
    except SwincliError as error:
        _fail(console, error, debug)
    except BrokenPipeError:
        _mute_stdout()
        raise typer.Exit(1) from None
    except OSError as error:
        _fail(console, from_os_error(error, str(error.filename or "swincli")), debug)
    except KeyboardInterrupt:
        if not is_secondary():
            console.error("interrupted")
        raise typer.Exit(130) from None
    except (typer.Exit, typer.Abort, typer.TyperException):
        raise
    except Exception as error:
        if debug:
            raise
        _fail(console, SwincliError(f"unexpected {type(error).__name__}: {error}", "Run it again with --debug."), debug)


def _mute_stdout() -> None:
    """Leave nowhere to write for Python's last flush, as the reader of our stdout has gone (`| head`)."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _fail(console: Console, error: BaseException, debug: bool) -> None:
    from swincli.errors import PeerFailedError, SwincliError, UsageError
    from swincli.system.torchrun_env import is_secondary

    if debug:
        console.stderr.print_exception()
    assert isinstance(error, SwincliError)
    if not (is_secondary() and isinstance(error, PeerFailedError | UsageError)):
        console.error(error.message, error.hint)
    raise typer.Exit(error.exit_code) from None

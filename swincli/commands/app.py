"""The Typer app, and `main`: the entry point and the outermost error boundary."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from swincli import __version__
from swincli.commands.recipe import recipe_app

app = typer.Typer(
    name="swincli",
    help="Train, sample, explore and measure [bold]StyleSwin[/], the transformer GAN for high-resolution images.",
    epilog="First time here? [bold]swincli train quickstart[/] learns to draw faces in about ten minutes on a CPU.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"swincli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.add_typer(recipe_app, name="recipe")


def run(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code; a wrong one prints `error:` and `hint:` like every other error."""
    try:
        result = app(arguments, standalone_mode=False)
    except typer.Abort:
        return 130
    except typer.TyperException as error:
        from swincli.console import Console

        context = getattr(error, "ctx", None)
        command = context.command_path if context else "swincli"
        message = error.format_message().strip()
        if message:  # a bare `swincli` prints its help and has nothing to add
            Console().error(message[0].lower() + message[1:], f"Run `{command} --help`.")
        return error.exit_code
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the `swincli` script."""
    sys.exit(run())

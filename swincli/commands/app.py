"""The Typer app of all commands, and `main`, the entry point of the `swincli` script."""

from __future__ import annotations

import codecs
import functools
import io
import sys
from typing import Annotated, Any

import typer

from swincli.commands.card.command import card
from swincli.commands.convert.command import convert
from swincli.commands.directions.command import directions_app
from swincli.commands.doctor import doctor
from swincli.commands.evaluate.command import evaluate
from swincli.commands.export.command import export
from swincli.commands.interpolate.command import interpolate
from swincli.commands.prepare_data.command import prepare_data
from swincli.commands.project.command import project
from swincli.commands.recipe import recipe_app
from swincli.commands.report.command import report
from swincli.commands.sample.command import sample
from swincli.commands.stop import stop
from swincli.commands.train.command import train
from swincli.commands.view.command import view
from swincli.commands.watch import watch
from swincli.system.native_stderr import keep_own_stderr
from swincli.system.openmp import prepare_environment
from swincli.system.stop_signals import end_on_signals
from swincli.version import __version__

app = typer.Typer(
    name="swincli",
    help="Train, sample, explore and measure [bold]StyleSwin[/], the transformer GAN for high-resolution images.",
    epilog="First time here? [bold]swincli train quickstart[/] learns to draw cats in about seven minutes on two idle "
    "CPU cores.",
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
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _example(command: str) -> str:
    return f"Example: [bold]{command}[/]"


app.command("prepare-data", epilog=_example("swincli prepare-data photos/ datasets/photos-256 --resolution 256"))(
    prepare_data
)
app.command("train", epilog=_example("swincli train quickstart"))(train)
app.command("watch", epilog=_example("swincli watch runs/quickstart"))(watch)
app.command("stop", epilog=_example("swincli stop runs/quickstart"))(stop)
app.command("sample", epilog=_example("swincli sample --seeds 0-31 --truncation 0.7 --grid 8x4"))(sample)
app.command("interpolate", epilog=_example("swincli interpolate --seeds 1,5,9 --loop --pace perceptual"))(interpolate)
app.command("project", epilog=_example("swincli project portrait.jpg --space w+ --tune"))(project)
app.command("view", epilog=_example("swincli view builtin:cats32"))(view)
app.add_typer(directions_app, name="directions")
app.command("evaluate", epilog=_example("swincli evaluate --metric fid --data datasets/photos-256"))(evaluate)
app.command("report", epilog=_example("swincli report runs/quickstart"))(report)
app.command("card", epilog=_example("swincli card runs/quickstart hub/cats-32 --license cc-by-4.0"))(card)
app.add_typer(recipe_app, name="recipe")
app.command("doctor", epilog=_example("swincli doctor quickstart"))(doctor)
app.command("convert", epilog=_example("swincli convert FFHQ_256.pt ffhq256.safetensors"))(convert)
app.command("export", epilog=_example("swincli export runs/quickstart model.onnx"))(export)


@functools.cache
def _root_command() -> Any:
    """The command tree of `app`, which takes 20 ms to build."""
    return typer.main.get_command(app)


def run(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code.

    A command line that Typer refuses prints `error:` and `hint:`, as all errors do.
    """
    try:
        result = _root_command()(arguments, prog_name="swincli", standalone_mode=False)
    except typer.Abort:
        return 130
    except typer.TyperException as error:
        from swincli.console import Console
        from swincli.system.torchrun_env import is_secondary

        context = getattr(error, "ctx", None)
        command = context.command_path if context else "swincli"
        message = error.format_message().strip()
        if message and not is_secondary():  # empty for a bare `swincli`, which prints its help
            Console().error(message[0].lower() + message[1:], f"Run `{command} --help`.")
        return error.exit_code
    return result if isinstance(result, int) else 0


def _file_name_bytes(error: UnicodeError) -> tuple[bytes, int]:
    """Encoding error handler: print file names that the encoding of stdout lacks as their bytes on the disk (UTF-8)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return error.object[error.start : error.end].encode("utf-8", "surrogateescape"), error.end


def main() -> None:
    """Entry point of the `swincli` script."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("file-name-bytes", _file_name_bytes)
        sys.stdout.reconfigure(errors="file-name-bytes")
    prepare_environment()
    keep_own_stderr()
    end_on_signals()
    sys.exit(run())

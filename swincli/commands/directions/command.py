"""`swincli directions`: the help texts, and the calls of the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from swincli.commands.directions.request import (
    ExamplesRequest,
    FindRequest,
    ListRequest,
    RenameRequest,
    ShowRequest,
)
from swincli.commands.typer_command import Result, device_command

if TYPE_CHECKING:
    import torch

    from swincli.console import Console

directions_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Find, show and name directions for `sample --edit`."
)


@directions_app.command(
    epilog="Example: [bold]swincli directions find glasses --positive with/ --negative without/[/]",
)
@device_command(FindRequest)
def find(request: FindRequest, device: torch.device, console: Console) -> Result:
    """Find a direction in w by pictures, scores, labels or words, and save it under a name.

    Generated images are judged; a linear boundary between the best and the worst gives the direction.
    """
    from swincli.commands.directions.find import find_direction

    return find_direction(request, device, console)


@directions_app.command(
    "from-examples", epilog="Example: [bold]swincli directions from-examples hat --positive 3,17,21,40,58[/]"
)
@device_command(ExamplesRequest)
def from_examples(request: ExamplesRequest, device: torch.device, console: Console) -> Result:
    """Find the style channel that 10 to 30 examples have in common, and save it under a name."""
    from swincli.commands.directions.find import find_channel

    return find_channel(request, device, console)


@directions_app.command("list", epilog="Example: [bold]swincli directions list --checkpoint builtin:cats32[/]")
@device_command(ListRequest)
def list_directions(request: ListRequest, device: torch.device, console: Console) -> Result:
    """List the directions of a model."""
    from swincli.commands.directions.files import list_files

    return list_files(request, device, console)


@directions_app.command(epilog="Example: [bold]swincli directions show glasses --seeds 0-3[/]")
@device_command(ShowRequest)
def show(request: ShowRequest, device: torch.device, console: Console) -> Result:
    """Draw a strip of a direction, and measure what it changes."""
    from swincli.commands.directions.show import show_direction

    return show_direction(request, device, console)


@directions_app.command(epilog="Example: [bold]swincli directions rename pca3 smile[/]")
@device_command(RenameRequest)
def rename(request: RenameRequest, device: torch.device, console: Console) -> Result:  # noqa: ARG001
    """Give a direction another name."""
    from swincli.commands.directions.files import rename_file

    return rename_file(request, device)

"""`swincli prepare-data`: the help text, and the call of `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swincli.commands.prepare_data.request import PrepareDataRequest
from swincli.commands.typer_command import Result, command

if TYPE_CHECKING:
    from swincli.console import Console


@command(PrepareDataRequest)
def prepare_data(request: PrepareDataRequest, console: Console) -> Result:
    """Make a store of training images from pictures of nearly any format.

    --verify checks an existing store or zip, --stats describes a store or a source; neither makes a store.
    """
    from swincli.commands.prepare_data.run import run

    return run(request, console)

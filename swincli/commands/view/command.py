"""`swincli view`: the help text, and the call of `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swincli.commands.typer_command import command
from swincli.commands.view.request import ViewRequest

if TYPE_CHECKING:
    from swincli.console import Console


@command(ViewRequest)
def view(request: ViewRequest, console: Console) -> None:
    """Open a page in the browser to explore a model and to look at runs.

    The page is served on this machine alone and needs no network. Ctrl-C ends it.
    """
    from swincli.commands.view.run import run

    run(request, console)

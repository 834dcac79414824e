"""`ViewRequest`: the options of `swincli view`, and the checks that need no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from swincli.commands.options import DeviceOption

SERVING = "Serving"


@dataclass(frozen=True, kw_only=True)
class ViewRequest:
    """The options of `swincli view`: what to open, and where to serve the page."""

    opened: Annotated[
        str | None,
        typer.Argument(
            metavar="CHECKPOINT|RUNS",
            help="Model file, builtin:NAME, hf:OWNER/NAME, run folder, or a folder of runs; default: the runs under "
            "runs/.",
            show_default=False,
        ),
    ] = None
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, metavar="N", help="Port; default: the next free one from 8765.", rich_help_panel=SERVING
        ),
    ] = None
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen at; others than this machine's own need the token in the printed address.",
            rich_help_panel=SERVING,
        ),
    ] = "127.0.0.1"
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address only.", rich_help_panel=SERVING)
    ] = False
    device: DeviceOption = "auto"

    def check(self) -> None:
        """Check that the packages of the extra are there.

        Raises:
            ResourceError: one is missing.
        """
        from swincli.system.packages import require_packages

        require_packages("view", "starlette", "uvicorn", "websockets", extra="view")

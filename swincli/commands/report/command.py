"""`swincli report`: the help text, and the call of `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swincli.commands.report.request import ReportRequest
from swincli.commands.typer_command import Result, device_command

if TYPE_CHECKING:
    import torch

    from swincli.console import Console


@device_command(ReportRequest)
def report(request: ReportRequest, device: torch.device, console: Console) -> Result:
    """Write a run as one HTML page to send to a colleague: pictures, metrics, curves, recipe, data, cost.

    The page is a single file that loads nothing. The run may be going on, stopped or finished.

    --markdown prints a short form for a pull request.
    """
    from swincli.commands.report.run import run

    return run(request, device, console)

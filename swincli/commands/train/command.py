"""`swincli train`: trains the networks of recipes, or resumes runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swincli.commands.train.request import TrainRequest
from swincli.commands.typer_command import Result, device_command

if TYPE_CHECKING:
    import torch

    from swincli.console import Console


@device_command(TrainRequest)
def train(request: TrainRequest, device: torch.device, console: Console) -> Result:
    """Train the networks of a recipe. The same command resumes a stopped run.

    Several recipes are a queue: all of them are checked first, then they train one after another. A run that fails does
    not stop the others.

    Exits with 3 if it was stopped and saved before the end.
    """
    from swincli.commands.train import run
    from swincli.commands.train.detach import run_detached
    from swincli.commands.train.queue import run_queue
    from swincli.commands.train.queued import report_errors, stop_with_input
    from swincli.system.distributed import init_distributed

    if request.detach:
        return run_detached(request, device, console)
    if request.dry_run:
        return run.describe(request, device, console)
    if len(request.entries) > 1:
        return run_queue(request, device, console)
    if request.queued:
        with stop_with_input(), report_errors(console):
            return run.run(request, device, console)
    with init_distributed(device) as processes:
        return run.run(request, device, console, processes)

"""`swincli evaluate`: the help text, and the calls of `run` and `compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swincli.commands.evaluate.request import EvaluateRequest
from swincli.commands.typer_command import Result, device_command

if TYPE_CHECKING:
    import torch

    from swincli.console import Console


@device_command(EvaluateRequest)
def evaluate(request: EvaluateRequest, device: torch.device, console: Console) -> Result | None:
    """Measure generated or other images against real ones, or compare what runs have measured."""
    from swincli.commands.evaluate.run import compare, run
    from swincli.system.distributed import init_distributed
    from swincli.system.torchrun_env import is_secondary

    if request.compare:
        return None if is_secondary() else compare(request, console)
    with init_distributed(device) as processes:
        return run(request, device, console, processes)

"""`swincli sample`: the help text, and the call of `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swincli.commands.sample.request import SampleRequest
from swincli.commands.typer_command import Result, device_command

if TYPE_CHECKING:
    import torch

    from swincli.console import Console


@device_command(SampleRequest)
def sample(request: SampleRequest, device: torch.device, console: Console) -> Result:
    """Write the images of seeds, one file per seed: seed-000012.png.

    The same command resumes where it was stopped: it skips existing images.
    """
    from swincli.commands.sample.run import run
    from swincli.system.distributed import init_distributed

    with init_distributed(device) as processes:
        return run(request, device, console, processes)

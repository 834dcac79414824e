"""`swincli interpolate`: the help text, and the call of `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swincli.commands.interpolate.request import InterpolateRequest
from swincli.commands.typer_command import Result, device_command

if TYPE_CHECKING:
    import torch

    from swincli.console import Console


@device_command(InterpolateRequest)
def interpolate(request: InterpolateRequest, device: torch.device, console: Console) -> Result:
    """Write a video that walks through latent space from image to image."""
    from swincli.commands.interpolate.run import run

    return run(request, device, console)

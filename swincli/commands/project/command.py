"""`swincli project`: the help text, and the call of `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swincli.commands.project.request import ProjectRequest
from swincli.commands.typer_command import Result, device_command

if TYPE_CHECKING:
    import torch

    from swincli.console import Console


@device_command(ProjectRequest)
def project(request: ProjectRequest, device: torch.device, console: Console) -> Result:
    """Find the latent codes whose images come closest to pictures (GAN inversion).

    Writes NAME.npz and NAME.png for each picture; sample and interpolate take NAME.npz as --latents.
    """
    from swincli.commands.project.run import run

    return run(request, device, console)

"""`swincli convert`: the help text, and the call of `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swincli.commands.convert.request import ConvertRequest
from swincli.commands.typer_command import Result, device_command

if TYPE_CHECKING:
    import torch

    from swincli.console import Console


@device_command(ConvertRequest)
def convert(request: ConvertRequest, device: torch.device, console: Console) -> Result:
    """Convert an original StyleSwin checkpoint to a model file that every command takes, or back.

    Networks, EMA and optimisers are converted, so that training can continue on either side (train.init). StyleNAT's
    checkpoints are read too, without their optimisers.

    With --ema-width, reconstruct an average of a run with power-function EMA: RUN OUT.safetensors.

    With --prune, make a smaller and faster model that draws nearly the same images: MODEL OUT.safetensors.

    With --mixers, exchange what mixes positions at some resolutions in the same way.
    """
    from swincli.commands.convert.run import run

    return run(request, device, console)

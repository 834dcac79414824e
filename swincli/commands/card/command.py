"""`swincli card`: the help text, and the call of `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swincli.commands.card.request import CardRequest
from swincli.commands.typer_command import Result, device_command

if TYPE_CHECKING:
    import torch

    from swincli.console import Console


@device_command(CardRequest)
def card(request: CardRequest, device: torch.device, console: Console) -> Result:
    """Make a folder that hands a model on: weights without code, recipe, samples, and a README with front matter.

    The README has the licence, the credit of the training images, the model's ancestors, its metrics with their
    protocol, and lines that load it.

    --push sends the folder to a hub; it needs the extra hub.
    """
    from swincli.commands.card.run import run

    return run(request, device, console)

"""`swincli export`: the help text, and the call of `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swincli.commands.export.request import ExportRequest
from swincli.commands.typer_command import Result, device_command

if TYPE_CHECKING:
    import torch

    from swincli.console import Console


@device_command(ExportRequest)
def export(request: ExportRequest, device: torch.device, console: Console) -> Result:
    """Write a model for other programs: an ONNX file, a .pt2 of torch.export, or a page that runs it in a browser.

    The file gets codes and a truncation and gives images. It appears only if it gives PyTorch's images of 16 seeds.

    With --web, the page has sliders for the seed, truncation and mixing, and runs from any static host.
    """
    from swincli.commands.export.run import run

    return run(request, device, console)

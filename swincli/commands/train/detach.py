"""`swincli train --detach`: the same training in the background."""

from __future__ import annotations

import torch

from swincli.commands.train.request import TrainRequest
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.training.run.detach import train_detached


def run_detached(request: TrainRequest, device: torch.device, console: Console) -> Result:
    """Start the only run of a request in the background and wait for its first steps.

    Raises:
        SwincliError: the training's own error, if it ends with one before that.
    """
    folder = request.entries[0].folder
    console.say(f"starting; output goes to {folder / 'train.log'}")
    try:
        detached = train_detached(["train", *_arguments(request), "--device", str(device)], folder)
    except KeyboardInterrupt:
        console.say(f"not waiting any longer; the training goes on. To end it: swincli stop {folder}")
        raise
    facts = {"run": str(folder), "log": str(detached.log), "pid": detached.session.pid if detached.session else None}
    if detached.session is None:
        console.say(detached.output.strip())
        return Result(facts, [])
    return Result(facts, [f"pid {detached.session.pid}", f"swincli watch {folder}", f"swincli stop {folder}"])


def _arguments(request: TrainRequest) -> list[str]:
    """The command line of a request, without `--detach`."""
    options = {
        "--data": request.data,
        "--seed": request.seed,
        "--out": request.out,
        "--resume": request.resume,
        "--max-time": request.max_time,
    }
    given = [part for name, value in options.items() if value is not None for part in (name, str(value))]
    return [*request.recipes, *(part for text in request.overrides or [] for part in ("--set", text)), *given]

"""One run of `swincli train`, and the description of runs for `--dry-run`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import torch

from swincli.commands.train.request import Entry, TrainRequest
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.recipe.shipped import is_stream
from swincli.system import runtime
from swincli.system.distributed import Processes
from swincli.system.torchrun_env import is_under_torchrun, world_size
from swincli.training import loop
from swincli.training.preflight import check_memory, open_training_store
from swincli.training.rehearsal import rehearse


def describe(request: TrainRequest, device: torch.device, console: Console) -> Result:
    """Check the runs and describe them; writes nothing.

    Raises:
        SwincliError: the first run that could not start; see `rehearse`.
    """
    runs = [_plan(entry, request, device, console) for entry in request.entries]
    lines = ["\n".join(f"{name}: {value}" for name, value in facts.items()) for facts in runs]
    return Result(runs[0] if len(runs) == 1 else {"runs": runs}, "\n\n".join(lines).splitlines())


def _plan(entry: Entry, request: TrainRequest, device: torch.device, console: Console) -> dict[str, Any]:
    resume = request.resume == "auto"
    entry.warn(console)
    found = rehearse(entry.recipe, entry.folder, device, console, resume=resume, processes=world_size())
    return {"run": str(entry.folder), **found.facts}


def run(request: TrainRequest, device: torch.device, console: Console, processes: Processes | None = None) -> Result:
    """Train the only run of a request.

    Args:
        request: Checked options.
        device: Where the networks of this rank go.
        console: Receives messages, warnings and the live view.
        processes: The ranks that train together; one by default.

    Raises:
        SwincliError: as `open_training_store` and `training.loop.train` do.
    """
    (entry,) = request.entries
    recipe, processes = entry.recipe, processes or Processes()
    runtime.configure(tf32=recipe.run.tf32, fixed_shapes=True)
    processes.from_main(lambda: entry.warn(console))
    processes.from_main(lambda: check_memory(recipe, device))
    processes.from_main(lambda: len(open_training_store(recipe, console)))  # prepared once, by the main process
    result = loop.train(
        recipe,
        Store.open(recipe.data.path or ""),
        entry.folder,
        device,
        console,
        resume=request.resume == "auto",
        max_time=request.max_seconds,
        processes=processes,
    )
    if not result.finished and is_stream(Path(entry.name)):
        kept = shlex.join(["swincli", "train", str(entry.folder / "recipe.toml"), "--out", str(entry.folder)])
        console.say(f"the recipe came from a pipe; the run has kept it: {kept}")
    facts = {
        "run": str(result.run),
        "images_seen": result.images_seen,
        "total": recipe.train.total,
        "finished": result.finished,
        "reason": result.reason,
        "model": str(result.model),
    }
    # torchrun takes any exit code but 0 for a failure, and starts the processes again.
    return Result(facts, [str(result.model)], stopped=not result.finished and not is_under_torchrun())

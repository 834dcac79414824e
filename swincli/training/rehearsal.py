"""The rehearsal of a run: everything that can be checked before it starts, without writing a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import UsageError
from swincli.recipe import Recipe
from swincli.recipe.idle import idle_settings
from swincli.system.runtime import choose_precision
from swincli.training.in_training_metrics import training_metrics
from swincli.training.logging.trackers import check_trackers
from swincli.training.preflight import build_on_meta, check_space, describe_plan, open_existing_store
from swincli.training.run.folder import RunFolder
from swincli.training.run.same_run import check_new_run, check_same_run


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found.

    Attributes:
        facts: The run in words, for `--dry-run`.
        images_seen: Images of the state that the run would go on from; 0 for a new run.
        finished: Whether the run has shown `train.total` images.
    """

    facts: dict[str, object]
    images_seen: int
    finished: bool


def rehearse(
    recipe: Recipe, out: Path, device: torch.device, console: Console, *, resume: bool, processes: int = 1
) -> Rehearsal:
    """Check recipe, networks, images, memory, disk and the run in its folder. Nothing is trained or written.

    Args:
        recipe: The experiment.
        out: The run folder; need not exist.
        device: Where the networks would go.
        console: Where warnings go.
        resume: Whether an existing run would be continued.
        processes: Number of ranks.

    Raises:
        SwincliError: the run cannot start.
    """
    check_trackers(recipe)
    choose_precision(recipe.run.precision, device)
    if recipe.evaluate.every:
        training_metrics(recipe)
    store = open_existing_store(recipe)
    folder = RunFolder(out)
    seen = _images_seen(folder, recipe, store, console, resume=resume)
    for warning in idle_settings(recipe):
        console.warn(warning)
    facts = describe_plan(recipe, store, console, device, processes, new=seen is None)
    finished = seen is not None and seen >= recipe.train.total
    if not finished:
        check_space(folder, recipe, build_on_meta(recipe), seen or 0, console)
    if seen is not None:
        facts["goes on from"] = f"{folder.state(seen)}"
    return Rehearsal(facts, seen or 0, finished)


def _images_seen(
    folder: RunFolder, recipe: Recipe, store: Store | None, console: Console, *, resume: bool
) -> int | None:
    """Images of the newest whole state of the run; None for a new run.

    Raises:
        SwincliError: the folder holds another experiment, or files of others, or `resume` is false.
    """
    found = folder.newest_state(console, mapped=True)
    if found is None:
        check_new_run(folder.path, recipe)
        return None
    path, content = found
    if not resume:
        raise UsageError(f"{folder.path}: there is a run already, and --resume is never", "Give another --out.")
    data_hash = content["data_hash"] if store is None else store.content_hash
    check_same_run(content, path, recipe, data_hash, Console(quiet=True))
    return int(content["images_seen"])

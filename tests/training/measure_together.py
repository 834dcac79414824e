"""Measures a new state as training does, with trouble in the second process: run by torchrun, for a test."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.recipe import load_recipe
from swincli.system.distributed import Processes, init_distributed
from swincli.training import in_training_metrics
from swincli.training.in_training_metrics import InTrainingMetrics
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state


def measure_again_and_again(recipe_file: Path, detector: Path, out: Path, processes: Processes) -> dict[str, object]:
    """Undisturbed; with a failure in the second process; in the leading one; with a request to stop in the second."""
    find = in_training_metrics.find_detector_weights
    in_training_metrics.find_detector_weights = lambda _, console: find(detector, console)
    recipe, console = load_recipe(str(recipe_file)), Console(quiet=not processes.is_main)
    assert recipe.data.path is not None
    store, folder = Store.open(Path(recipe.data.path)), RunFolder(out)
    state = build_state(recipe, store.content_hash, torch.device("cpu"))
    if processes.is_main:
        folder.prepare(recipe)
    state.images_seen = 8
    measures = InTrainingMetrics(folder, state, store, console, processes)
    results: dict[str, object] = {"due": measures.is_missing(8), "values": measures.measure(state)}
    results["due then"] = measures.is_missing(8)
    state.images_seen = 16
    generate = in_training_metrics.generate

    def failing(*_: object, **__: object) -> Iterator[torch.Tensor]:
        yield torch.zeros(4, 16, 16, 3, dtype=torch.uint8)
        raise RuntimeError("out of memory")

    for rank in (1, 0):
        in_training_metrics.generate = failing if processes.rank == rank else generate
        results[f"failed in {rank}"] = measures.measure(state)
        in_training_metrics.generate = generate
    results["stopped"] = measures.measure(state, lambda: processes.rank == 1)
    results["due still"] = measures.is_missing(16)
    results["mean"] = processes.mean({"rank": float(processes.rank)})["rank"]
    return results


if __name__ == "__main__":
    with init_distributed(torch.device("cpu")) as company:
        recipe_file, detector, out = map(Path, sys.argv[1:])
        results = measure_again_and_again(recipe_file, detector, out, company)
        out.with_name(f"results-{company.rank}.json").write_text(json.dumps(results))

"""Two steps of every switch that a batch may be split for, and with micro-batches: run by torchrun, for a test."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from loss_switches import ACCUMULATED, FROZEN_FEATURES, SWITCHES, WHOLE_BATCH, Steps, keys_of
from tiny_backbone import install_tiny_backbone

from swincli.data.store.reader import Store
from swincli.model.blocks import kernels
from swincli.recipe import load_recipe
from swincli.system.distributed import Processes, init_distributed

KEYS = ("train.total=400", "train.batch=8", "loss.r1_interval=2")


def main(out: Path) -> None:
    recipe = str(out / "tiny.toml")
    with init_distributed(torch.device("cpu")) as processes:
        for name in SWITCHES:
            if name not in WHOLE_BATCH:
                run(recipe, keys_of((name,)), out / f"{name}.pt", processes)
        with pytest.MonkeyPatch.context() as patch:
            install_tiny_backbone(patch).double()
            for name, keys in FROZEN_FEATURES.items():
                run(str(out / "larger.toml"), keys.split(), out / f"{name}.pt", processes)
        for name, keys in ACCUMULATED.items():
            run(recipe, keys.split(), out / f"accumulated-{name}.pt", processes)
            with mock.patch.object(kernels, "compute_together", return_value=True):  # as on GPUs
                run(recipe, keys.split(), out / f"accumulated-{name}-gpu.pt", processes)


def run(recipe: str, keys: list[str], out: Path, processes: Processes) -> None:
    """Take two steps together; the main process saves what they report and hold."""
    loaded = load_recipe(recipe, [*KEYS, *keys])
    assert loaded.data.path is not None
    steps = Steps(loaded, Store.open(Path(loaded.data.path)), processes, double=True)
    reported = steps.run(2)
    if processes.is_main:
        torch.save({"reported": reported, "tensors": steps.tensors()}, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

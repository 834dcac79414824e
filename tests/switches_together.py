"""Two steps of every switch that a batch may be split for: run by torchrun, for a test."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from loss_switches import SWITCHES, WHOLE_BATCH, Steps, keys_of

from swincli.data.store.reader import Store
from swincli.recipe import load_recipe
from swincli.system.distributed import init_distributed

KEYS = ("train.total=400", "train.batch=8", "loss.r1_interval=2")


def main(recipe: str, out: Path) -> None:
    with init_distributed(torch.device("cpu")) as processes:
        for name in SWITCHES:
            if name in WHOLE_BATCH:
                continue
            loaded = load_recipe(recipe, [*KEYS, *keys_of((name,))])
            assert loaded.data.path is not None
            steps = Steps(loaded, Store.open(Path(loaded.data.path)), processes, double=True)
            reported = steps.run(2)
            if processes.is_main:
                torch.save({"reported": reported, "tensors": steps.tensors()}, out / f"{name}.pt")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

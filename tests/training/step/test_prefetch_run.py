"""A run is the same to the last bit however its images come to it, also where that changes between two sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.training.loop import train


def test_runs_are_the_same(tiny_recipe: Callable[..., Recipe], store: Store, tmp_path: Path) -> None:
    def weights(name: str, *overrides: str) -> dict[str, torch.Tensor]:
        recipe, out = tiny_recipe(*overrides), tmp_path / name
        result = train(recipe, store, out, torch.device("cpu"), Console(quiet=True), resume=out.exists())
        return load_file(result.model)

    ahead = weights("ahead", 'data.resident="never"')
    resident = weights("resident", 'data.resident="always"')
    weights("both", "train.total=8")
    both = weights("both", 'data.resident="always"')
    for other in (resident, both):
        assert all(torch.equal(tensor, other[name]) for name, tensor in ahead.items())

"""A run is the same to the last bit however its images come to it, also where that changes between two sessions."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.training.loop import train
from swincli.training.run.folder import RunFolder
from swincli.training.step.prefetch import is_resident


def test_runs_are_the_same(
    tiny_recipe: Callable[..., Recipe], store: Store, finished_run: Path, tmp_path: Path
) -> None:
    """The finished run has read ahead from the disk."""
    cpu, resident = torch.device("cpu"), tiny_recipe('data.resident="always"')
    assert not is_resident(tiny_recipe(), store, cpu)
    assert is_resident(resident, store, cpu)
    both = Path(shutil.copytree(finished_run, tmp_path / "both"))
    RunFolder(both).state(24).unlink()
    RunFolder(both).model(24).unlink()
    ahead = load_file(RunFolder(finished_run).model(24))
    for out in (both, tmp_path / "resident"):
        result = train(resident, store, out, cpu, Console(quiet=True), resume=True)
        other = load_file(result.model)
        assert result.images_seen == 24
        assert all(torch.equal(tensor, other[name]) for name, tensor in ahead.items())

"""Shared by the tests of training: finished runs, and a detector that costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scripted_networks import MeanColours, save_script

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.training import in_training_metrics
from swincli.training.loop import train


@pytest.fixture
def detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its file; training in this process measures with it."""
    return patch_detector(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def shared_detector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same for a fixture that all tests of a file share; ends with the file."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch_detector(tmp_path_factory.mktemp("detector"), patch)


def patch_detector(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    path = save_script(MeanColours(), folder / "colours.pt")
    patch.setenv("SWINCLI_CACHE", str(folder / "cache"))
    find = in_training_metrics.find_detector_weights
    patch.setattr(in_training_metrics, "find_detector_weights", lambda _, console: find(path, console))
    return path


@pytest.fixture(scope="session")
def larger_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Twelve pictures of 32 px, as a store: the smallest that frozen features take."""
    folder, random = tmp_path_factory.mktemp("larger"), np.random.default_rng(1)
    for index in range(12):
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    path = tmp_path_factory.mktemp("larger-stores") / "store"
    prepare(str(folder), path, PrepareOptions(32, workers=1), Console(quiet=True))
    return Store.open(path)


@pytest.fixture(scope="session")
def finished_run(tiny_recipe: Callable[..., Recipe], store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny recipe as it is, after its 24 images. Copy it to change it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    train(tiny_recipe(), store, out, torch.device("cpu"), Console(quiet=True), resume=True)
    return out

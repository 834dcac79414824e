"""Shared fixtures: a tiny store, recipes that train on it in seconds, and a trained run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from attribute_stores import make_attribute_store
from hypothesis import settings
from PIL import Image

from swincli.commands.app import run
from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.store.reader import Store
from swincli.recipe import Recipe, load_recipe

settings.register_profile("swincli", deadline=None)  # the time of a test depends on the machine
settings.load_profile("swincli")

# Tiny networks gain nothing from threads, and lose much on a busy machine.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for subprocesses of tests

TINY_RECIPE = """
[model]
size = 16
latent_dim = 16
mapping_layers = 2
g_width = 16
d_width = 8

[train]
total = 24
batch = 4

[loss]
r1_interval = 2

[run]
snapshot = 8
samples = 8
log = 8
grid = [2, 2]
"""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ten 20 px pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for index in range(10):
        Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def store(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The pictures as a store of 16 px images."""
    path = tmp_path_factory.mktemp("stores") / "tiny"
    prepare(str(pictures), path, PrepareOptions(16, workers=1), Console(quiet=True))
    return Store.open(path)


@pytest.fixture
def tiny_recipe_file(tmp_path: Path, store: Store) -> Path:
    """A recipe of the smallest networks, trained on that store for six steps."""
    path = tmp_path / "tiny.toml"
    path.write_text(f'{TINY_RECIPE}\n[data]\npath = "{store.path}"\n')
    return path


@pytest.fixture(scope="session")
def tiny_recipe(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recipe]:
    """The same recipe, read with overrides such as "train.total=40"."""
    path = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    path.write_text(f'{TINY_RECIPE}\n[data]\npath = "{store.path}"\n')
    return lambda *overrides: load_recipe(str(path), overrides)


@pytest.fixture(scope="session")
def labelled_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Twelve 16 px pictures of two classes, as a store: eight blue ones (label 0) and four red ones (label 1)."""
    folder, random = tmp_path_factory.mktemp("labelled"), np.random.default_rng(1)
    for name, count, channel in (("blue", 8, 2), ("red", 4, 0)):
        (folder / name).mkdir()
        for index in range(count):
            picture = random.integers(0, 60, (16, 16, 3), dtype=np.uint8)
            picture[..., channel] += 180
            Image.fromarray(picture).save(folder / name / f"{index}.png")
    path = tmp_path_factory.mktemp("stores") / "labelled"
    prepare(str(folder), path, PrepareOptions(16, labels="folders", workers=1), Console(quiet=True))
    return Store.open(path)


@pytest.fixture(scope="session")
def attribute_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of 24 images of 16 px with attributes of every kind but text."""
    return make_attribute_store(tmp_path_factory.mktemp("stores") / "attributes")


@pytest.fixture(scope="session")
def trained_run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of the smallest networks after two steps."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = folder / "tiny.toml"
    recipe.write_text(f'{TINY_RECIPE}\n[data]\npath = "{store.path}"\n')
    command = ["train", str(recipe), "--out", str(folder / "run"), "--set", "train.total=8", "--device", "cpu", "-q"]
    assert run(command) == 0
    return folder / "run"

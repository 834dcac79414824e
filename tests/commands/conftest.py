"""Models and runs that the tests of several files share; no test may change them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sampled_models import save_shown_model

from swincli.commands.app import run
from swincli.data.store.reader import Store
from swincli.recipe import Recipe, load_recipe

RECIPE = """
[model]
size = 16
latent_dim = 16
mapping_layers = 2
g_width = 16
d_width = 8

[train]
total = 24
batch = 4

[run]
snapshot = 8
samples = 8
log = 8
grid = [2, 2]

[ema]
power = [0.05, 0.1]
power_every = 8

[data]
path = "{data}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for files that one test of a file makes and the others use."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def shared_recipe(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of the smallest networks, with power-function averages, that trains for six steps."""
    path = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    path.write_text(RECIPE.format(data=store.path))
    return path


@pytest.fixture(scope="session")
def shown_recipe(shared_recipe: Path) -> Callable[..., Recipe]:
    """That recipe with overrides, and with the style that `save_shown_model` needs."""
    return lambda *overrides: load_recipe(str(shared_recipe), ("model.adain_gamma=1.0", *overrides))


@pytest.fixture(scope="session")
def model(shown_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a run folder whose images can be told apart."""
    return save_shown_model(shown_recipe(), tmp_path_factory.mktemp("run") / "model-000000000010.safetensors")


@pytest.fixture(scope="session")
def averaged_run(shared_recipe: Path) -> Path:
    """A run of that recipe: averages after 8, 16 and 24 images."""
    out = shared_recipe.parent / "run"
    assert run(["train", str(shared_recipe), "--out", str(out), "--device", "cpu", "--quiet"]) == 0
    return out

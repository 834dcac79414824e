"""Models and runs that several test files share; tests must not modify them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sampled_models import save_shown_model

from swincli.commands.app import run
from swincli.recipe import Recipe, load_recipe

RECIPE = """
extends = "{base}"

[ema]
power = [0.05, 0.1]
power_every = 8
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the tests of one file share."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def shared_recipe(trained_run: Path) -> Path:
    """The recipe of `trained_run` with power-function averages; it trains for six steps."""
    path = trained_run.parent / "averaged.toml"
    path.write_text(RECIPE.format(base=trained_run.parent / "tiny.toml"))
    return path


@pytest.fixture(scope="session")
def shown_recipe(shared_recipe: Path) -> Callable[..., Recipe]:
    """`shared_recipe` with overrides, and with the style that `save_shown_model` needs."""
    return lambda *overrides: load_recipe(str(shared_recipe), ("model.adain_gamma=1.0", *overrides))


@pytest.fixture(scope="session")
def model(shown_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a run folder; its images differ from seed to seed."""
    return save_shown_model(shown_recipe(), tmp_path_factory.mktemp("run") / "model-000000000010.safetensors")


@pytest.fixture(scope="session")
def averaged_run(shared_recipe: Path) -> Path:
    """A run of `shared_recipe`, with averages after 8, 16 and 24 images."""
    out = shared_recipe.parent / "averaged"
    assert run(["train", str(shared_recipe), "--out", str(out), "--device", "cpu", "--quiet"]) == 0
    return out

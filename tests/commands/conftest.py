"""A model that the tests of a file share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sampled_models import save_shown_model

from swincli.recipe import Recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests of a file make once for all of them."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def model(tiny_recipe: Callable[..., Recipe], folder: Path) -> Path:
    """A model in that folder whose images can be told apart."""
    path = folder / "model.safetensors"
    return path if path.exists() else save_shown_model(tiny_recipe("model.adain_gamma=1.0"), path)

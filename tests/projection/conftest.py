"""A small model that is no longer gray, and pictures to project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from swincli.model.files.model_file import Model, load_model, save_model
from swincli.model.generator import Generator
from swincli.projection.losses import Objective, Weights
from swincli.projection.targets import Target
from swincli.recipe import Recipe
from swincli.synthesis.sampling import generate


@pytest.fixture
def model(tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> Model:
    torch.manual_seed(0)
    recipe = tiny_recipe("model.adain_gamma=1.0")
    generator = Generator(recipe.model)
    for name, parameter in generator.named_parameters():
        parameter.data.mul_(20 if "to_rgb" in name else 2)  # an untrained network is nearly gray
    path = tmp_path / "run" / "model-000000000010.safetensors"
    save_model(path, generator, recipe, 10)
    return load_model(path, torch.device("cpu"))


@pytest.fixture
def generated(model: Model) -> list[Target]:
    """Three images that the model itself makes."""
    pictures = torch.cat(list(generate(model, [7, 8, 9])))
    return [Target(f"seed {seed}", f"seed-{seed}", picture) for seed, picture in zip((7, 8, 9), pictures, strict=True)]


@pytest.fixture
def foreign() -> list[Target]:
    """Two pictures that no code of the model gives: noise of blocks."""
    random = torch.Generator().manual_seed(3)
    blocks = torch.randint(0, 256, (2, 4, 4, 3), generator=random, dtype=torch.uint8)
    pictures = blocks.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    return [Target(f"blocks {index}", f"blocks-{index}", picture) for index, picture in enumerate(pictures)]


@pytest.fixture
def objective(model: Model) -> Objective:
    section = model.recipe.model
    return Objective(None, section.pixel_mean, section.pixel_std, Weights())

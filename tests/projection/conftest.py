"""A small model with varied images, pictures to project, and their codes; tests must not modify them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from swincli.model.files.model_file import Model, load_model, save_model
from swincli.model.generator import Generator
from swincli.projection.inversion import InversionSettings, draw_start_points, invert
from swincli.projection.losses import Objective
from swincli.projection.targets import Target
from swincli.recipe import Recipe
from swincli.synthesis.sampling import generate

SIZES = {"size": 16, "latent_dim": 16, "mapping_layers": 1, "g_width": 16, "d_width": 8, "adain_gamma": 1.0}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.manual_seed(0)
    recipe = Recipe.model_validate({"model": SIZES, "data": {"path": "none"}})
    generator = Generator(recipe.model)
    for name, parameter in generator.named_parameters():
        parameter.data.mul_(20 if "to_rgb" in name else 2)  # an untrained network is nearly gray
    path = tmp_path_factory.mktemp("projected") / "model-000000000010.safetensors"
    save_model(path, generator, recipe, 10)
    return load_model(path, torch.device("cpu"))


@pytest.fixture(scope="session")
def generated(model: Model) -> list[Target]:
    """Three images of the model itself."""
    pictures = torch.cat(list(generate(model, [7, 8, 9])))
    return [Target(f"seed {seed}", f"seed-{seed}", picture) for seed, picture in zip((7, 8, 9), pictures, strict=True)]


@pytest.fixture(scope="session")
def foreign() -> list[Target]:
    """Two pictures that no code of the model gives: blocks of random colours."""
    random = torch.Generator().manual_seed(3)
    blocks = torch.randint(0, 256, (2, 4, 4, 3), generator=random, dtype=torch.uint8)
    pictures = blocks.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    return [Target(f"blocks {index}", f"blocks-{index}", picture) for index, picture in enumerate(pictures)]


@pytest.fixture(scope="session")
def objective(model: Model) -> Objective:
    section = model.recipe.model
    return Objective(None, section.pixel_mean, section.pixel_std)


@pytest.fixture(scope="session")
def foreign_w_plus(model: Model, objective: Objective, foreign: list[Target]) -> Tensor:
    """The w+ of the foreign pictures after 15 steps."""
    settings = InversionSettings(space="w+", steps=15)
    return invert(model, objective, foreign, draw_start_points(model, 20), settings, silent)


def silent(step: int, codes: Tensor, losses: Tensor) -> None:
    pass

"""Small generators with random weights, twice as large as at the start, to prune."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swincli.model.files.model_file import Model, mean_w
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.synthesis.latents.codes import codes_of_seeds

SIZES = {"size": 16, "latent_dim": 16, "mapping_layers": 1, "g_width": 16, "d_width": 8, "adain_gamma": 1.0}
PATH = Path("model")


def make_model(**keys: Any) -> Model:
    """A model of `SIZES` and other keys of [model]."""
    section = ModelSection.model_validate(SIZES | keys)
    torch.manual_seed(0)
    generator = Generator(section).eval().requires_grad_(False)
    for parameter in generator.parameters():
        parameter.mul_(2)
    return Model(generator, Recipe(model=section), 0, mean_w(generator), PATH)


@torch.inference_mode()
def images_of(model: Model, codes: Tensor | None = None) -> Tensor:
    """Images of codes, or of seeds 0 to 3."""
    return model.generator.synthesise(codes_of_seeds(model, range(4)) if codes is None else codes)

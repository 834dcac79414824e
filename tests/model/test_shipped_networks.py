"""Every shipped recipe describes networks that can be built."""

from __future__ import annotations

import pytest
import torch

from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import load_recipe
from swincli.recipe.shipped import shipped_recipes

PUBLISHED = {  # parameters of G and D, from the original release
    "ffhq256": (48_929_512, 26_211_585),
    "celebahq256": (48_929_512, 26_211_585),
    "church256": (48_929_512, 26_211_585),
    "ffhq1024": (40_862_990, 27_736_641),
    "celebahq1024": (40_862_990, 27_736_641),
}


@pytest.mark.parametrize("name", shipped_recipes())
def test_networks_of_every_shipped_recipe(name: str) -> None:
    recipe = load_recipe(name)
    with meta_init():
        generator, discriminator = Generator(recipe.model), make_discriminator(recipe.model)
    size = recipe.model.size
    image = generator(torch.empty(recipe.train.batch, recipe.model.latent_dim, device="meta"))
    assert image.shape == (recipe.train.batch, 3, size, size)
    counts = tuple(sum(p.numel() for p in network.parameters()) for network in (generator, discriminator))
    assert counts == PUBLISHED.get(name, counts)


def test_the_published_recipes_are_all_there() -> None:
    assert PUBLISHED.keys() <= shipped_recipes().keys()

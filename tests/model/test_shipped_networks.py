"""The networks of every shipped recipe can be built and run."""

from __future__ import annotations

import functools

import pytest
import torch

from swincli.model.blocks.conditioning import forward_with_labels, unknown_labels
from swincli.model.config_diff import DISCRIMINATOR_KEYS
from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import load_recipe
from swincli.recipe.schema import ModelSection
from swincli.recipe.shipped import shipped_recipes

PUBLISHED = {  # parameters of G and D, from the original release
    "ffhq256": (48_929_512, 26_211_585),
    "celebahq256": (48_929_512, 26_211_585),
    "church256": (48_929_512, 26_211_585),
    "ffhq1024": (40_862_990, 27_736_641),
    "celebahq1024": (40_862_990, 27_736_641),
}


@functools.cache
def image_shape(section: str) -> tuple[int, ...]:
    """Shape of two images of a [model] section; recipes that differ in D only share the result."""
    config = ModelSection.model_validate_json(section)
    with meta_init():
        generator = Generator(config)
    z, labels = torch.empty(2, config.latent_dim, device="meta"), unknown_labels(config, 2, "meta")
    return tuple(forward_with_labels(generator, z, labels).shape)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name.startswith("ablations/") else ()) for name in shipped_recipes()],
)
def test_networks_of_every_shipped_recipe(name: str) -> None:
    model = load_recipe(name).model
    with meta_init():
        generator, discriminator = Generator(model), make_discriminator(model)
    of_g = {key: value for key, value in model.model_dump().items() if key not in DISCRIMINATOR_KEYS}
    assert image_shape(ModelSection(**of_g).model_dump_json()) == (2, 3, model.size, model.size)
    counts = tuple(sum(p.numel() for p in network.parameters()) for network in (generator, discriminator))
    assert counts == PUBLISHED.get(name, counts)


def test_the_published_recipes_are_all_there() -> None:
    assert PUBLISHED.keys() <= shipped_recipes().keys()

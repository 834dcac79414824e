"""Numbers about directions: locality, distance from real images, and the ranking of style channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from swincli.errors import DataError, UsageError
from swincli.metrics.directions import channels
from swincli.metrics.directions.channels import rank_channels
from swincli.metrics.directions.effects import Region, locality_of, relative_distances, safe_range
from swincli.model.files.model_file import Model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.synthesis.latents.style_channels import StyleChannel, style_layers


def _model(style: str = "adain") -> Model:
    sizes = {"size": 16, "latent_dim": 8, "mapping_layers": 1, "g_width": 16, "d_width": 8, "style": style}
    recipe = Recipe.model_validate({"model": sizes, "data": {"path": "none"}})
    torch.manual_seed(0)
    generator = Generator(recipe.model).eval().requires_grad_(False)
    return Model(generator, recipe, 0, torch.zeros(8), Path("none"))


def test_a_planted_local_change_is_local() -> None:
    change = np.zeros((5, 16, 16))
    change[:, 4:8, 4:8] = np.random.default_rng(0).uniform(size=(5, 4, 4))
    assert locality_of(change) == pytest.approx(1)
    assert locality_of(change, Region(4, 4, 8, 8)) == pytest.approx(1)
    assert locality_of(change, Region(8, 8, 16, 16)) == 0


def test_a_change_everywhere_is_not_and_no_change_is_nothing() -> None:
    assert locality_of(np.ones((5, 16, 16))) == pytest.approx(0.25)
    assert locality_of(np.ones((5, 16, 16)), Region(0, 0, 8, 16)) == pytest.approx(0.5)
    assert locality_of(np.zeros((5, 16, 16))) == 0


def test_a_change_that_wanders_is_less_local_than_one_that_stays() -> None:
    change = np.zeros((16, 16, 16))
    for image in range(16):
        change[image, image] = 1
    assert locality_of(change) == pytest.approx(0.25)


def test_distances_are_relative_to_the_image_itself() -> None:
    random = np.random.default_rng(0)
    reals = random.normal(size=(400, 4)).astype(np.float32)
    away = np.array([0.0, 1.0, 20.0], np.float32)
    features = (reals[:20, None] + 0.1 + away[None, :, None]).astype(np.float32)
    distances = relative_distances(features, reals, zero=0)
    assert distances[0] == pytest.approx(1)
    assert distances[1] < distances[2]
    assert distances[2] > 10


def test_the_safe_range_ends_before_the_distance_doubles() -> None:
    offsets = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    assert safe_range(offsets, [2.5, 1.9, 1.1, 1.0, 1.1, 1.5, 1.9]) == 2.0
    assert safe_range(offsets, [1.0] * 7) == 3.0
    assert safe_range(offsets, [9.0, 9.0, 9.0, 1.0, 9.0, 9.0, 9.0]) == 0.0


def test_the_channel_that_examples_share_is_ranked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples are random codes moved so that one channel of code 2 is high in all of them."""
    monkeypatch.setattr(channels, "POPULATION", 300)
    model = _model()
    layer = next(one for one in style_layers(model.generator) if (one.code, one.norm) == (2, 1))
    wanted = StyleChannel(2, 1, "gamma", 3)
    row = layer.layer.weight[layer.row(wanted)] * layer.layer.scale
    random = torch.Generator().manual_seed(1)
    examples = model.generator.broadcast(model.generator.map(torch.randn(20, 8, generator=random))).clone()
    spread = (examples[:, 2] @ row).std()
    missing = 4 * spread - examples[:, 2] @ row
    examples[:, 2] += missing[:, None] * row / row.square().sum()
    best = rank_channels(model, examples, 5)
    assert best[0].channel == wanted
    assert best[0].shift > 2
    assert [one.rank for one in best] == sorted((one.rank for one in best), reverse=True)


def test_too_few_examples_and_models_without_channels_are_refused() -> None:
    copies = torch.ones(10, 6, 8)
    with pytest.raises(DataError, match="1 different examples; at least 5"):
        rank_channels(_model(), copies, 3)
    with pytest.raises(UsageError, match="no style channels"):
        rank_channels(_model("none"), copies, 3)

"""Directions in w (PCA, SeFa) and cluster centres of w."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from swincli.errors import UsageError
from swincli.model.blocks.style import STYLES
from swincli.model.files.model_file import Model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.synthesis.latents import w_clusters
from swincli.synthesis.latents.directions import METHODS, pca_directions, sefa_directions, style_weights
from swincli.synthesis.latents.w_clusters import cluster_centres, sample_w


@pytest.fixture(autouse=True)
def fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(w_clusters, "SAMPLES", 2000)


def make_model(style: str = "adain", seed: int = 0) -> Model:
    sizes = {"size": 16, "latent_dim": 8, "mapping_layers": 1, "g_width": 16, "d_width": 8}
    recipe = Recipe.model_validate({"model": {**sizes, "style": style}, "data": {"path": "none"}})
    torch.manual_seed(seed)
    generator = Generator(recipe.model).eval().requires_grad_(False)
    return Model(generator, recipe, 0, torch.zeros(8), Path("none"))


@pytest.mark.parametrize("method", list(METHODS))
def test_directions_are_an_orthonormal_basis_with_a_fixed_sign(method: str) -> None:
    model = make_model()
    found = METHODS[method](model, [0, 1, 2])
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(8), atol=1e-5, rtol=0)
    largest = found.vectors.gather(1, found.vectors.abs().argmax(dim=1, keepdim=True))
    assert (largest > 0).all()
    assert found.shares.sum().item() == pytest.approx(1)
    assert (found.shares.diff() <= 0).all()
    again = METHODS[method](make_model(), [0, 1, 2])
    assert torch.equal(found.vectors, again.vectors)


def test_units_are_deviations_of_w() -> None:
    model = make_model()
    w, found = sample_w(model), pca_directions(model, [])
    along = (w - w.mean(dim=0)) @ found.vectors.double().T
    torch.testing.assert_close(along.std(dim=0).float(), found.units, rtol=1e-4, atol=1e-6)
    assert (found.units.diff() <= 0).all()
    torch.testing.assert_close(found.units.square() / found.units.square().sum(), found.shares, rtol=1e-4, atol=1e-6)
    assert sefa_directions(model, [3]).units.tolist() == [found.units[0].item()] * 8


def test_sefa_is_the_singular_vectors_of_rows_of_length_one() -> None:
    model = make_model()
    block = model.generator.get_submodule("levels.1.blocks.1")
    rows = torch.cat([block.norm1.style.weight, block.norm2.style.weight]).double()  # type: ignore[union-attr]
    _, values, vectors = torch.linalg.svd(rows / rows.norm(dim=1, keepdim=True), full_matrices=False)
    found = sefa_directions(model, [3])
    alignment = (found.vectors.double() * vectors).sum(dim=1).abs()
    torch.testing.assert_close(alignment, torch.ones(8, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.shares.double(), values.square() / values.square().sum(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("style", list(STYLES))
def test_moving_a_code_reaches_the_image_only_where_layers_read_it(style: str) -> None:
    """`style_weights` finds all layers that read w: the image depends on a code if and only if it finds some."""
    model = make_model(style)
    generator = model.generator
    for parameter in generator.parameters():
        parameter.mul_(2).add_(0.01)
    code = generator.broadcast(torch.randn(1, 8, generator=torch.Generator().manual_seed(1)))
    before = generator.synthesise(code)
    for layer in range(generator.num_ws):
        moved = code.clone()
        moved[:, layer] += 1
        weights = style_weights(generator, layer)
        assert all(weight.shape[1:] == (8,) for weight in weights)
        assert bool(weights) == bool((generator.synthesise(moved) != before).any())


def test_a_place_that_takes_no_w_is_an_error() -> None:
    with pytest.raises(UsageError, match="no layer of the network reads w there") as caught:
        sefa_directions(make_model("none"), [1, 2])
    assert "at layer 0 only" in (caught.value.hint or "")


def test_centres_are_means_of_their_clusters_and_always_the_same() -> None:
    model = make_model()
    w = sample_w(model)
    torch.testing.assert_close(cluster_centres(model, 1)[0], w.mean(dim=0).float(), atol=1e-5, rtol=1e-4)
    centres = cluster_centres(model, 5)
    assert torch.equal(centres, cluster_centres(make_model(), 5))
    belongs = torch.cdist(w, centres.double()).argmin(dim=1)
    assert belongs.unique().tolist() == list(range(5))
    spread = (w - centres.double()[belongs]).square().sum() / (w - w.mean(dim=0)).square().sum()
    assert spread < 0.9

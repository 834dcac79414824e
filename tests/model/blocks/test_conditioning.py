"""Class labels: where they enter the networks, their effect, and that unconditional networks refuse them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from swincli.model.blocks.conditioning import LabelEmbedding, project
from swincli.model.discriminators.registry import DISCRIMINATORS, make_discriminator
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe.schema import ModelSection

LABELS = torch.tensor([0, 2, 1, 2])


def tiny(**keys: Any) -> ModelSection:
    given = {"latent_dim": 16, "g_width": 16, "d_width": 8, "mapping_layers": 2, "adain_gamma": 1.0, **keys}
    return ModelSection(size=16, **given)


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(tiny(classes=3)).eval()


def test_embeddings_are_of_length_one() -> None:
    torch.manual_seed(0)
    vectors = LabelEmbedding(3, 16)(LABELS)
    torch.testing.assert_close(vectors.square().mean(dim=1), torch.ones(4), rtol=1e-5, atol=1e-5)
    assert torch.equal(vectors[1], vectors[3])
    assert not torch.allclose(vectors[0], vectors[1])


def test_w_is_the_mapping_of_normed_z_beside_the_normed_vector(generator: Generator) -> None:
    z = 5 * torch.randn(4, 16)
    assert generator.embedding is not None
    x = torch.cat([z / z.square().mean(dim=1, keepdim=True).sqrt(), generator.embedding(LABELS)], dim=1)
    for layer in list(generator.mapping)[1:]:
        weight, bias = layer.weight * 0.01 / math.sqrt(layer.weight.shape[1]), layer.bias * 0.01
        x = F.leaky_relu(F.linear(x, weight, bias), 0.2) * math.sqrt(2)
    torch.testing.assert_close(generator.map(z, LABELS), x)


def test_the_same_z_gives_another_image_in_another_class(generator: Generator) -> None:
    z = torch.randn(1, 16).expand(3, -1)
    images = generator(z, torch.arange(3))
    assert min((images[a] - images[b]).abs().max().item() for a, b in ((0, 1), (0, 2), (1, 2))) > 1e-4


@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_discriminators_judge_an_image_by_its_class(kind: str, spectral: bool) -> None:
    torch.manual_seed(0)
    discriminator = make_discriminator(tiny(classes=3, discriminator=kind, spectral_norm=spectral)).eval()
    plain = make_discriminator(tiny(discriminator=kind, spectral_norm=spectral)).eval()
    images = torch.randn(1, 3, 16, 16).expand(4, -1, -1, -1)
    logits = discriminator(images, LABELS)
    assert logits.shape == plain(images).shape
    assert torch.allclose(logits[1], logits[3], atol=1e-6)
    assert (logits[0] - logits[1]).abs().max() > 1e-4
    logits.square().sum().backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()


def test_projection_is_a_scaled_inner_product_at_every_place() -> None:
    features, vectors = torch.randn(2, 5, 3, 4), torch.randn(2, 5)
    logits = project(features, vectors)
    assert logits.shape == (2, 1, 3, 4)
    expected = features[1, :, 2, 3] @ vectors[1] / math.sqrt(5)
    torch.testing.assert_close(logits[1, 0, 2, 3], expected)
    assert project(features, None) is features


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_unconditional_networks_have_no_trace_of_classes(kind: str) -> None:
    with meta_init():
        for classes in (0, 3):
            networks = Generator(tiny(classes=classes)), make_discriminator(tiny(classes=classes, discriminator=kind))
            for network in networks:
                names = [name for name in network.state_dict() if "embedding." in name]
                assert bool(names) == bool(classes)


def test_labels_go_to_conditional_networks_and_only_there(generator: Generator) -> None:
    z, image = torch.randn(2, 16), torch.randn(2, 3, 16, 16)
    for network, given in (
        (generator, z),
        (make_discriminator(tiny(classes=3)), image),
    ):
        with pytest.raises(ValueError, match="no labels for a conditional network"):
            network(given)
    for network, given in ((Generator(tiny()), z), (make_discriminator(tiny()), image)):
        with pytest.raises(ValueError, match="labels for an unconditional network"):
            network(given, torch.tensor([0, 0]))

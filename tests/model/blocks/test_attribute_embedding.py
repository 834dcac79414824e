"""Attributes in the networks: each has its own vectors, and D has a logit for what is unknown."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from swincli.model.blocks.attributes import FEATURES, AttributeEmbedding
from swincli.model.blocks.conditioning import project, unknown_labels
from swincli.model.discriminators.registry import DISCRIMINATORS, make_discriminator
from swincli.model.generator import Generator
from swincli.recipe.attributes import KINDS, Kind
from swincli.recipe.schema import ModelSection

TABLE: dict[str, int | str] = {"age": "number", "glasses": "flag", "hair": 3, "tags": "several:4", "words": "text:6"}
KINDS_OF = {"age": Kind("number"), "glasses": Kind("flag"), "hair": Kind("class", 3), "tags": Kind("several", 4)}


def tiny(**keys: Any) -> ModelSection:
    given = {"latent_dim": 16, "g_width": 16, "d_width": 8, "mapping_layers": 2, "adain_gamma": 1.0, **keys}
    return ModelSection(size=16, **given)


def rows(count: int = 4) -> torch.Tensor:
    """Labels of `KINDS_OF`: age, glasses, hair, four tags."""
    random = torch.Generator().manual_seed(1)
    few = [torch.rand(count, generator=random), *(torch.randint(most, (count,), generator=random) for most in (2, 3))]
    return torch.cat([torch.stack(few, dim=1), torch.randint(2, (count, 4), generator=random)], dim=1).float()


def test_every_kind_has_features_of_the_stated_number() -> None:
    assert FEATURES.keys() == KINDS.keys()
    for name, features in FEATURES.items():
        kind = Kind(name, 5 if KINDS[name].smallest else 1)
        assert features.of(torch.zeros(2, kind.columns), kind.size).shape == (2, features.count(kind.size))


def test_vectors_have_length_one_and_depend_on_their_own_columns_alone() -> None:
    torch.manual_seed(0)
    for with_unknown in (True, False):
        embedding = AttributeEmbedding(KINDS_OF, 16, with_unknown=with_unknown)
        labels, other = rows(), rows()
        other[:, embedding.places["age"]] = 0.123
        for name, place in embedding.places.items():
            vectors = embedding.vector(name, labels[:, place])
            torch.testing.assert_close(vectors.square().mean(dim=1), torch.ones(4), rtol=1e-4, atol=1e-4)
            assert torch.equal(vectors, embedding.vector(name, other[:, place])) == (name != "age")


def test_what_is_unknown_has_a_vector_in_g_and_none_in_d() -> None:
    torch.manual_seed(0)
    g, d = (AttributeEmbedding(KINDS_OF, 16, with_unknown=for_g) for for_g in (True, False))
    nothing = torch.full((2, 7), math.nan)
    assert torch.equal(d(nothing), torch.zeros(2, 16))
    torch.testing.assert_close(g(nothing).square().mean(dim=1), torch.ones(2))
    one = rows(2)
    one[:, 3:] = math.nan
    parts = [d.vector(name, one[:, place]) for name, place in d.places.items()]
    torch.testing.assert_close(d(one), sum(parts[:3]))
    assert not parts[3].any()


def test_numbers_that_are_close_have_vectors_that_are_close() -> None:
    torch.manual_seed(0)
    vectors = AttributeEmbedding({"age": Kind("number")}, 4096, with_unknown=False)
    at = vectors(torch.tensor([[0.0], [0.1], [0.5], [1.0]]))
    near, middle, far = (torch.cosine_similarity(at[0], other, dim=0).item() for other in at[1:])
    assert near > 0.9 > 0.5 > middle
    assert far < 0.2


def test_d_adds_a_logit_without_labels_to_a_term_of_each_attribute() -> None:
    features, vectors = torch.randn(2, 6, 3, 3), torch.randn(2, 5)
    logits = project(features, vectors)
    expected = features[1, 0, 2, 1] + features[1, 1:, 2, 1] @ vectors[1] / math.sqrt(5)
    torch.testing.assert_close(logits[1, 0, 2, 1], expected)
    torch.testing.assert_close(project(features, torch.zeros(2, 5)), features[:, :1])


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_discriminators_judge_an_image_by_every_attribute(kind: str) -> None:
    torch.manual_seed(0)
    config = tiny(attributes=TABLE, discriminator=kind, features_side=64)
    discriminator = make_discriminator(config).eval()
    labels = torch.cat([rows(), torch.nn.functional.normalize(torch.randn(4, 6), dim=1)], dim=1)
    images = torch.randn(1, 3, 16, 16).expand(4, -1, -1, -1)
    logits = discriminator(images, labels)
    assert logits.shape == make_discriminator(tiny(discriminator=kind, features_side=64))(images).shape
    for changed in (slice(0, 1), slice(1, 2), slice(2, 3), slice(3, 7), slice(7, 13)):
        other = labels.clone()
        other[:, changed] = math.nan
        assert (discriminator(images, other) - logits).abs().max() > 1e-5
    torch.testing.assert_close(discriminator(images, labels.flip(0)), logits.flip(0), rtol=1e-4, atol=1e-4)
    discriminator(images, labels).square().sum().backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_g_draws_other_images_for_other_labels_and_learns_from_unknown_ones() -> None:
    torch.manual_seed(0)
    config = tiny(attributes=TABLE)
    generator = Generator(config)
    nothing = unknown_labels(config, 2, "cpu")
    assert nothing is not None
    known = torch.zeros(2, 13)
    z = torch.randn(2, 16)
    assert (generator(z, known) - generator(z, nothing)).abs().max() > 1e-5
    generator(z, nothing).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in generator.parameters())
    with pytest.raises(ValueError, match="no labels for a conditional network"):
        generator(z)

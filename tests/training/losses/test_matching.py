"""The matching-aware terms: against their formula, for every D; R1 and other images do not reach the texts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from plain_losses import plain_losses
from text_stores import WORDS
from torch import Tensor, nn

from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Generator
from swincli.recipe.networks import ModelSection
from swincli.recipe.objective import LossSection
from swincli.training.losses.batch import Batch
from swincli.training.losses.networks import Networks
from swincli.training.losses.views import view

WIDTH = len(WORDS)
MODEL = ModelSection(
    size=16, latent_dim=16, mapping_layers=1, g_width=16, d_width=8, attributes={"caption": f"text:{WIDTH}"}
)


def rows(count: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed)), dim=1)


def networks(**keys: Any) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    config = MODEL.model_copy(update=keys)
    return Generator(config), make_discriminator(config)


@pytest.fixture
def batch() -> Batch:
    random = torch.Generator().manual_seed(1)
    foreign = torch.stack([rows(4, 5), rows(4, 6), rows(4, 7)], dim=1)
    foreign[1, 0] = foreign[2, 2] = torch.nan
    return Batch(
        torch.randn(4, 3, 16, 16, generator=random), *torch.randn(2, 4, 16, generator=random),
        labels=rows(4, 2), d_labels=rows(4, 3), g_labels=rows(4, 4), foreign=foreign,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["wavelet", "plain", "patch"])
def test_terms_are_the_formula(kind: str, batch: Batch) -> None:
    generator, discriminator = networks(discriminator=kind, spectral_norm=False)
    losses = plain_losses(generator, discriminator, LossSection(matching=0.5), model=MODEL)
    d, g = losses.d_loss(batch), losses.g_loss(batch)
    assert batch.foreign is not None
    with torch.no_grad():
        fakes = generator(batch.d_latents, batch.d_labels)
        own = generator(batch.g_latents, batch.g_labels)
        sides = (batch.reals, fakes, own)
        each = [
            F.softplus(discriminator(images, batch.foreign[:, place].nan_to_num())).flatten(1).mean(dim=1)
            for place, images in enumerate(sides)
        ]
    known = ~batch.foreign.isnan().any(dim=2)
    real, fake, of_g = (torch.where(known[:, place], one, 0).mean() for place, one in enumerate(each))
    torch.testing.assert_close(d["loss/matching_d"], real + fake, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(g["loss/matching_g"], of_g, rtol=1e-4, atol=1e-5)
    plain = plain_losses(generator, discriminator, LossSection(), model=MODEL)
    bare = Batch(**{**vars(batch), "foreign": None})
    torch.testing.assert_close(d["loss/d"], plain.d_loss(bare)["loss/d"])


def test_terms_move_the_vectors_of_texts_and_r1_is_the_gradient_at_images_alone(batch: Batch) -> None:
    generator, discriminator = networks(spectral_norm=False)
    losses = plain_losses(generator, discriminator, LossSection(matching=0.5), model=MODEL)
    vectors = discriminator.embedding.vectors_caption  # type: ignore[union-attr]
    losses.d_loss(batch)
    assert vectors.grad.abs().max() > 0  # type: ignore[union-attr]
    images = batch.reals.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(images, batch.labels).sum(), images)
    penalty = losses.d_penalties(batch)["loss/r1"]
    torch.testing.assert_close(penalty, gradient.square().sum(dim=(1, 2, 3)).mean(), rtol=1e-4, atol=1e-5)
    assert batch.labels is not None
    assert not batch.labels.requires_grad


@pytest.mark.parametrize("kind", ["wavelet", "plain", "patch"])
def test_logits_have_the_shape_that_they_have_without_foreign_texts(kind: str, batch: Batch) -> None:
    generator, discriminator = networks(discriminator=kind)
    both = Networks(generator, discriminator.eval())
    assert batch.foreign is not None
    seen = view(both, LossSection(), batch.reals, batch.labels, None, batch.foreign[:, 0])
    plain = both.judge(batch.reals, batch.labels)
    assert seen.foreign_logits is not None
    assert seen.logits.shape == seen.foreign_logits.shape == plain.shape
    torch.testing.assert_close(seen.logits, plain, rtol=1e-4, atol=1e-4)
    assert seen.foreign_known is not None
    assert seen.foreign_known.tolist() == [True, False, True, True]


@pytest.mark.parametrize("kind", ["wavelet", "plain", "patch"])
def test_a_permuted_batch_permutes_logits_and_images(kind: str, batch: Batch) -> None:
    generator, discriminator = networks(discriminator=kind, std_group=1)
    order = torch.tensor([2, 0, 3, 1])
    generator.eval()
    discriminator.eval()
    with torch.no_grad():
        for network, inputs in ((discriminator, batch.reals), (generator, batch.d_latents)):
            plain, permuted = network(inputs, batch.labels), network(inputs[order], batch.labels[order])  # type: ignore[index]
            torch.testing.assert_close(permuted, plain[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["wavelet", "plain", "patch"])
def test_several_texts_of_an_image_are_judged_in_one_forward(kind: str, batch: Batch) -> None:
    _, discriminator = networks(discriminator=kind)
    discriminator.eval()
    texts = torch.stack([rows(4, 2), rows(4, 3), rows(4, 4)], dim=1)
    with torch.no_grad():
        together = discriminator(batch.reals, texts)
        for place in range(3):
            alone = discriminator(batch.reals, texts[:, place])
            torch.testing.assert_close(together[:, place].flatten(), alone.flatten(), rtol=1e-4, atol=1e-4)

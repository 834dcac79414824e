"""AugSelf-GAN: its identity, what it sees without augmentation, and that heads learn from a fixed D."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plain_losses import plain_losses
from small_networks import MODEL, Pictures, small_discriminator

from swincli.recipe import Recipe
from swincli.recipe.objective import AugmentSection, LossSection
from swincli.recipe.schema import ModelSection, TrainSection
from swincli.training.augment.diffaugment import parameters
from swincli.training.augment.pipe import Augmentation
from swincli.training.losses import augself
from swincli.training.losses.batch import Batch
from swincli.training.losses.draws import draw_all
from swincli.training.losses.phases import GPhase
from swincli.training.losses.views import hidden_only, view

BATCH = 8
GROUPS = ["color", "translation", "cutout"]
AUGMENT = AugmentSection(transforms="diffaugment")


EQUALISED = MODEL.model_copy(update={"spectral_norm": False})


def recipe_of(
    section: LossSection, augment: AugmentSection = AUGMENT, batch: int = BATCH, model: ModelSection = MODEL
) -> Recipe:
    return Recipe(model=model, loss=section, augment=augment, train=TrainSection(batch=batch))


def with_heads(recipe: Recipe) -> Any:
    discriminator = small_discriminator(spectral_norm=recipe.model.spectral_norm)
    discriminator.add_module(augself.NAME, augself.AugSelfHeads(recipe))
    return discriminator


def batch_of(recipe: Recipe, seen: int = 0) -> Batch:
    random = torch.Generator().manual_seed(1 + seen)
    count = recipe.train.batch
    images = torch.randn(count, 3, 16, 16, generator=random)
    d, g = torch.randn(2, count, 16, generator=random)
    return Batch(images, d, g, draws=draw_all(recipe, seen))


def phases(losses: Any, batch: Batch) -> tuple[Any, Any]:
    """D's phase and G's phase after their main forwards."""
    fakes = losses.networks.generate(batch.d_latents, None)
    images = losses.networks.generate(batch.g_latents, None)
    seen = view(losses.networks, losses.section, losses.setting.augment(images, batch, "g_fake"), None, None)
    return losses._d_phase(batch, batch.reals, None, fakes), GPhase(losses.setting, batch, images, seen)


def test_the_difference_of_both_errors_is_minus_four_times_the_product() -> None:
    section = LossSection(augself_d=1.0, augself_g=1.0, augself_groups=GROUPS)
    recipe = recipe_of(section, model=EQUALISED)
    discriminator, batch = with_heads(recipe), batch_of(recipe)
    losses = plain_losses(Pictures(), discriminator, section, AUGMENT, model=MODEL)
    _, phase = phases(losses, batch)
    hidden = hidden_only(discriminator, phase.images, None)
    predicted = discriminator.get_submodule(augself.NAME)(phase.fake.hidden - hidden)
    expected = torch.zeros(())
    for group, values in predicted.items():
        wanted = parameters(group, batch.draws["augment/g_fake"], 16, AUGMENT)
        assert wanted.shape == (BATCH, augself.OUTPUTS[group])
        expected = expected - 4 * (values * wanted).mean()
    torch.testing.assert_close(augself.augself_g(phase), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("blur", [{}, {"blur": 1.5, "blur_until": 1_000}], ids=["sharp", "blurred"])
def test_without_augmentation_a_head_sees_its_bias(blur: dict[str, Any]) -> None:
    """A blur is no augmentation that a head could see: both views have it."""
    nothing = AugmentSection(transforms="diffaugment", groups=["color"], color=0.0, **blur)
    section = LossSection(augself_d=1.0)
    recipe = recipe_of(section, nothing, model=EQUALISED)
    discriminator, batch = with_heads(recipe), batch_of(recipe)
    losses = plain_losses(Pictures(), discriminator, section, nothing, model=MODEL)
    phase, _ = phases(losses, batch)
    bias = discriminator.get_submodule(augself.NAME).get_submodule("color").bias
    real, fake = (parameters("color", batch.draws[f"augment/{name}"], 16, nothing) for name in ("d_real", "d_fake"))
    expected = (bias - real).square().mean() + (bias + fake).square().mean()
    torch.testing.assert_close(augself.augself_d(phase), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("group", ["cutout", "color", "translation"])
def test_heads_alone_learn_from_a_fixed_discriminator_with_opposite_signs(group: str) -> None:
    """Within some hundred steps, the error is below half of the variance of a uniform number, 1/12, on both sides.

    Fakes are the negatives of reals, so that D reacts to a transform in different ways: bright images under holes, and
    images of one pattern under colours.
    """
    augment = AugmentSection(transforms="diffaugment", groups=[group], translation=0.25)
    model = EQUALISED.model_copy(update={"d_width": 64})
    recipe = recipe_of(LossSection(augself_d=1.0, augself_groups=[group]), augment, 256, model)
    discriminator, draws = small_discriminator(spectral_norm=False, d_width=64), draw_all(recipe, 0)
    random = torch.Generator().manual_seed(0)
    pattern = torch.randn(1, 3, 16, 16, generator=random) if group == "color" else torch.ones(1)
    differences, wanted = [], []
    for name, side in (("d_real", 1.0), ("d_fake", -1.0)):
        images = side * pattern + 0.1 * torch.randn(256, 3, 16, 16, generator=random)
        transforms = Augmentation(augment, model)
        seen = transforms.apply(images, transforms.plan(draws[f"augment/{name}"], 1.0))
        with torch.no_grad():
            differences.append(hidden_only(discriminator, seen, None) - hidden_only(discriminator, images, None))
        wanted.append(side * parameters(group, draws[f"augment/{name}"], 16, augment))
    heads = augself.AugSelfHeads(recipe)
    optimizer = torch.optim.Adam(heads.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        errors = [(heads(x)[group] - y).square().mean() for x, y in zip(differences, wanted, strict=True)]
        (errors[0] + errors[1]).backward()
        optimizer.step()
    assert max(errors) < 1 / 24


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_every_parameter_of_the_heads_gets_a_gradient_in_every_phase_of_d(weights: tuple[float, float]) -> None:
    section = LossSection(augself_d=weights[0], augself_g=weights[1], augself_groups=GROUPS)
    recipe = recipe_of(section)
    discriminator, batch = with_heads(recipe), batch_of(recipe)
    losses = plain_losses(Pictures(), discriminator, section, AUGMENT, model=MODEL)
    for phase in (losses.d_loss, losses.d_penalties):
        discriminator.zero_grad(set_to_none=True)
        phase(batch)
        assert [name for name, parameter in discriminator.named_parameters() if parameter.grad is None] == []


def test_the_plain_forward_moves_no_vectors() -> None:
    section = LossSection(augself_d=1.0)
    recipe = recipe_of(section)
    batch = batch_of(recipe)
    ours, plain = with_heads(recipe), small_discriminator()
    plain_losses(Pictures(), ours, section, AUGMENT, model=MODEL).d_loss(batch)
    plain_losses(Pictures(), plain, LossSection(), AUGMENT, model=MODEL).d_loss(batch)
    for name, value in plain.named_buffers():
        assert torch.equal(value, ours.get_buffer(name)), name

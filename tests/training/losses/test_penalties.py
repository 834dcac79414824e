"""R1 and R2: of a linear D, lazily and in every step, against an explicit twin; their schedules."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from plain_losses import plain_losses
from small_networks import MODEL, Pictures, Sloped, small_discriminator

from swincli.recipe.objective import AugmentSection, LossSection
from swincli.training.augment.pipe import Augmentation
from swincli.training.losses.batch import Batch

R3GAN = LossSection(
    adversarial="relativistic", r1_gamma=150.0, r1_gamma_end=15.0, r2_gamma=150.0, r2_gamma_end=15.0,
    gamma_until=20_000_000, joint_penalty=True,
)  # fmt: skip
AUGMENT = AugmentSection(transforms="diffaugment")


def batch_of(count: int = 4) -> Batch:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 16, 16, generator=random)
    return Batch(images, *torch.randn(2, count, 16, generator=random))


@pytest.mark.parametrize("section", [LossSection(r2_gamma=1.0), LossSection(r2_gamma=1.0, joint_penalty=True), R3GAN])
def test_of_a_linear_d_both_are_the_squared_slope(section: LossSection) -> None:
    slope = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))
    losses = plain_losses(Pictures(), Sloped(slope, 3.0), section)
    scalars = losses.d_loss(batch_of()) if section.joint_penalty else losses.d_penalties(batch_of())
    for name in ("loss/r1", "loss/r2"):
        torch.testing.assert_close(scalars[name], slope.square().sum())


def test_lazily_the_weight_is_half_gamma_times_the_interval() -> None:
    slope = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))
    section = LossSection(r1_gamma=2.0, r2_gamma=6.0, r1_interval=8)
    discriminator = Sloped(slope)
    plain_losses(Pictures(), discriminator, section).d_penalties(batch_of())
    assert discriminator.slope.grad is not None
    torch.testing.assert_close(discriminator.slope.grad, 8 * (2.0 + 6.0) / 2 * 2 * slope)


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("adversarial", ["relativistic", "logistic"])
def test_in_every_step_the_gradient_is_that_of_the_formula(adversarial: str, augmented: bool) -> None:
    """D's loss and gamma / 2 of both penalties, at the images before augmentation, in one backward."""
    section = LossSection(adversarial=adversarial, r1_gamma=3.0, r2_gamma=5.0, joint_penalty=True)
    augment = AUGMENT if augmented else AugmentSection()
    batch, generator = batch_of(), Pictures().requires_grad_(False)
    augmentation = Augmentation(augment, MODEL)
    names = ("d_real", "d_fake")
    draws = {f"augment/{name}": torch.rand(4, 10) for name in names}
    ours, plain = (small_discriminator(spectral_norm=False) for _ in range(2))
    plain_losses(generator, ours, section, augment, model=MODEL).d_loss(replace(batch, draws=draws))

    reals, fakes = batch.reals.clone().requires_grad_(), generator(batch.d_latents).requires_grad_()
    real, fake = (
        plain(augmentation.apply(images, augmentation.plan(draws[f"augment/{name}"], 1.0)) if augmented else images)
        for images, name in ((reals, "d_real"), (fakes, "d_fake"))
    )
    paired = adversarial == "relativistic"
    loss = F.softplus(fake - real).mean() if paired else F.softplus(fake).mean() + F.softplus(-real).mean()
    for gamma, logits, images in ((3.0, real, reals), (5.0, fake, fakes)):
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        loss = loss + gamma / 2 * gradient.square().sum() / 4
    loss.backward()
    for (name, one), other in zip(ours.named_parameters(), plain.parameters(), strict=True):
        assert one.grad is not None, name
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_the_weights_of_the_moment_are_used() -> None:
    slope = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))
    sizes = []
    for seen in (0, 20_000_000):
        discriminator = Sloped(slope)
        section = R3GAN.model_copy(update={"adversarial": "wasserstein"})
        losses = plain_losses(Pictures(), discriminator, section)
        losses.d_loss(
            replace(batch_of(), images_seen=seen, reals=torch.zeros(4, 3, 16, 16), d_latents=torch.zeros(4, 16))
        )
        assert discriminator.slope.grad is not None
        sizes.append((discriminator.slope.grad / slope).mean().item())
    assert sizes == pytest.approx([300.0, 30.0], rel=1e-4)

"""LeCam, zCR, bCR, top-k and APA against their formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from plain_losses import plain_losses
from small_networks import Pictures, Said, Sloped
from torch import Tensor, nn

from swincli.recipe import Recipe
from swincli.recipe.objective import AugmentSection, LossSection
from swincli.training.augment.bcr import draw_bcr_params
from swincli.training.losses.apa import swapped
from swincli.training.losses.batch import Batch
from swincli.training.losses.memory import Memory, Step, scalar
from swincli.training.losses.remembered import new_memory, update_memory
from swincli.training.rng import derive
from swincli.training.schedules import top_k_share

LECAM = LossSection(lecam=0.3, lecam_from=0)


def remembered(real: float, fake: float, steps: int = 1, decay: float = 0.99) -> Memory:
    """Averages after that many steps of constant logits."""
    memory = new_memory(Recipe(loss=LECAM))
    step = Step(Recipe(loss=LECAM), 0, {"d/real_logit": real, "d/fake_logit": fake}, {})
    assert step.recipe.loss.lecam_decay == decay
    for _ in range(steps):
        update_memory(memory, step)
    return memory


def zeros(count: int) -> Batch:
    return Batch(torch.zeros(count, 3, 16, 16), torch.zeros(count, 16), torch.zeros(count, 16))


# LeCam


@pytest.mark.parametrize("steps", [1, 3, 200])
def test_lecam_s_reference_number_with_averages_of_any_age(steps: int) -> None:
    memory = remembered(1.0, -1.0, steps)
    d = plain_losses(Pictures(), Said([-2.0, 0.5], [2.0, 0.0]), LECAM, memory=memory).d_loss(zeros(2))
    assert d["loss/lecam"].item() == pytest.approx(9.625, abs=1e-5)


def test_lecam_s_averages_of_constant_logits_are_these_logits() -> None:
    for steps in (1, 2, 50):
        memory = remembered(0.7, -0.2, steps)
        bias = 1 - 0.99 ** memory.number("lecam/steps")
        assert memory.number("lecam/real") / bias == pytest.approx(0.7)
        assert memory.number("lecam/fake") / bias == pytest.approx(-0.2)


def test_lecam_has_no_gradient_for_reals_below_the_fakes_average_and_fakes_above_the_reals() -> None:
    reals, fakes = torch.tensor([-1.5, -3.0, 0.5]), torch.tensor([1.5, 4.0, 0.2])
    discriminator = Said(fakes.tolist(), reals.tolist())
    discriminator.answers = [value.requires_grad_() for value in discriminator.answers]
    fake, real = discriminator.answers
    losses = plain_losses(Pictures(), discriminator, replace_weight(1e9), memory=remembered(1.0, -1.0))
    losses.d_loss(zeros(3))
    assert real.grad is not None
    assert fake.grad is not None
    assert (real.grad.abs() > 1e3).flatten().tolist() == [False, False, True]
    assert (fake.grad.abs() > 1e3).flatten().tolist() == [False, False, True]


def replace_weight(weight: float) -> LossSection:
    return LECAM.model_copy(update={"lecam": weight})


def test_lecam_starts_after_some_images_and_its_averages_before() -> None:
    late = LossSection(lecam=0.3, lecam_from=100)
    memory = remembered(1.0, -1.0)

    def terms(images_seen: int) -> dict[str, Tensor]:
        losses = plain_losses(Pictures(), Said([-2.0, 0.5], [2.0, 0.0]), late, memory=memory)
        return losses.d_loss(replace(zeros(2), images_seen=images_seen))

    assert "loss/lecam" not in terms(96)
    assert terms(100)["loss/lecam"].item() == pytest.approx(9.625, abs=1e-5)
    empty = plain_losses(Pictures(), Said([-2.0, 0.5], [2.0, 0.0]), LECAM).d_loss(zeros(2))
    assert empty["loss/lecam"].item() == 0


# bCR and zCR


@pytest.mark.parametrize("side", ["bcr_real", "bcr_fake"])
def test_bcr_vanishes_for_a_sum_of_pixels_under_a_shift_that_wraps(monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    monkeypatch.setattr(
        "swincli.training.losses.consistency.bcr_augment",
        lambda images, draws: images.roll((2, -3), dims=(2, 3)),  # noqa: ARG005
    )
    draws = draw_bcr_params(4, 16, derive(0, "augment"))
    batch = Batch(torch.randn(4, 3, 16, 16), *torch.randn(2, 4, 16), real_augment=draws, fake_augment=draws)
    section = LossSection(**{side: 10.0})
    for slope, vanishes in ((torch.full((1, 1, 1), 0.1), True), (torch.randn(3, 16, 16), False)):
        scalars = plain_losses(Pictures(), Sloped(slope), section).d_loss(batch)
        assert (scalars["loss/bcr"].item() < 1e-8) is vanishes


def test_zcr_of_linear_networks() -> None:
    torch.manual_seed(0)
    generator, slope = Pictures(), torch.randn(3, 16, 16)
    discriminator = Sloped(slope)
    section = LossSection(zcr_d=20.0, zcr_g=0.5, zcr_sigma=0.05)
    noise = torch.randn(4, 16)
    batch = Batch(torch.randn(4, 3, 16, 16), *torch.randn(2, 4, 16), draws={"zcr_d": noise, "zcr_g": noise})
    losses = plain_losses(generator, discriminator, section)
    change = generator(0.05 * noise)  # of the images; the generator is linear
    d, g = losses.d_loss(batch), losses.g_loss(batch)
    expected = (change * slope).flatten(1).sum(dim=1).square().mean()
    torch.testing.assert_close(d["loss/zcr_d"], expected.detach(), rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(g["loss/zcr_g"], -change.square().mean().detach(), rtol=1e-3, atol=1e-7)
    assert discriminator.slope.grad is not None


def test_zcr_in_d_s_phase_asks_nothing_of_g() -> None:
    generator = Pictures()
    batch = Batch(torch.randn(4, 3, 16, 16), *torch.randn(2, 4, 16), draws={"zcr_d": torch.randn(4, 16)})
    plain_losses(generator, Sloped(torch.randn(3, 16, 16)), LossSection(zcr_d=1.0)).d_loss(batch)
    assert generator.weight.grad is None


# top-k


def test_g_learns_from_its_best_fakes_alone() -> None:
    section = LossSection(adversarial="hinge", top_k=0.5, top_k_every=100, top_k_min=0.25)
    logits = [1.0, -2.0, 3.0, 0.5]
    for seen, kept in ((0, [1.0, -2.0, 3.0, 0.5]), (100, [3.0, 1.0]), (250, [3.0]), (10_000, [3.0])):
        losses = plain_losses(Pictures(), Said(logits), section)
        got = losses.g_loss(replace(zeros(4), images_seen=seen))["loss/g"].item()
        assert got == pytest.approx(-sum(kept) / len(kept)), seen


def test_the_share_shrinks_by_images_to_its_least() -> None:
    section = LossSection(top_k=0.99, top_k_every=1000)
    assert [top_k_share(seen, section) for seen in (0, 999, 1000, 2500)] == pytest.approx([1, 1, 0.99, 0.99**2])
    assert top_k_share(10**9, section) == 0.5
    assert top_k_share(10**9, LossSection()) == 1


# APA


class Labelled(nn.Module):
    """Images filled with their label."""

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return (labels[:, None, None, None] + 0.0 * z.sum()).expand(-1, 3, 16, 16)


@pytest.mark.parametrize(("p", "expected"), [(0.0, [0, 0, 0, 0]), (0.5, [5, 0, 7, 0]), (0.95, [5, 6, 7, 8])])
def test_a_swapped_image_has_its_own_label_and_comes_from_g_s_latents(p: float, expected: list[int]) -> None:
    """The original keeps the real's label, which ruins conditional training."""
    batch = Batch(
        torch.zeros(4, 3, 16, 16),
        torch.full((4, 16), float("nan")),  # D's latents are not used
        torch.zeros(4, 16),
        labels=torch.zeros(4, dtype=torch.int64),
        d_labels=torch.full((4,), 9),
        g_labels=torch.tensor([5, 6, 7, 8]),
        draws={"apa": torch.tensor([0.1, 0.9, 0.3, 0.7])},
    )
    network = Labelled()
    images, labels = swapped(lambda z, y: network(z, y), batch, p)
    assert labels is not None
    assert labels.tolist() == expected
    assert images[:, 0, 0, 0].tolist() == expected
    assert not images.requires_grad


def test_apa_swaps_in_r1_as_in_d_s_loss() -> None:
    """R1 of a discriminator with a slope that depends on the image shows which images it was taken at."""

    class Square(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * x.square().flatten(1).sum(dim=1, keepdim=True)

    generator, apa = Pictures(), AugmentSection(apa=True, p=0.5)
    batch = Batch(torch.zeros(2, 3, 16, 16), *torch.randn(2, 2, 16), draws={"apa": torch.tensor([0.2, 0.8])})
    scalars = plain_losses(generator, Square(), LossSection(), apa).d_penalties(batch)
    expected = (2 * generator(batch.g_latents)[0]).square().sum() / 2
    torch.testing.assert_close(scalars["loss/r1"], expected.detach())
    assert scalar(1.0).dtype == torch.float64

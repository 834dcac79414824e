"""The losses against their formulas, and three steps against figures that must not drift."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from first_steps import next_step_micro_batches
from plain_losses import plain_losses
from torch import nn

from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.recipe.schema import LossSection
from swincli.training.augment.bcr import draw_bcr_params
from swincli.training.losses.batch import Batch
from swincli.training.rng import derive
from swincli.training.run.state import build_state
from swincli.training.run_step import run_step
from swincli.training.step.optimizers import make_optimizer
from swincli.training.step.phases import make_phases

CPU = torch.device("cpu")


class Linear(nn.Module):
    """A network whose loss can be worked out by hand: D(x) = weight * sum(x)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x.sum(dim=(1, 2, 3), keepdim=True).flatten(1)


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(0.25))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (z.mean(dim=1) + self.shift).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)


@pytest.fixture
def batch() -> Batch:
    draws = draw_bcr_params(4, 4, derive(0, "augment"))
    return Batch(torch.randn(4, 3, 4, 4), torch.randn(4, 8), torch.randn(4, 8), real_augment=draws, fake_augment=draws)


def test_d_logistic(batch: Batch) -> None:
    generator, discriminator = Constant(), Linear()
    scalars = plain_losses(generator, discriminator, LossSection()).d_loss(batch)
    real, fake = discriminator(batch.reals), discriminator(generator(batch.d_latents))
    expected = F.softplus(-real).mean() + F.softplus(fake).mean()
    assert scalars["loss/d"].item() == pytest.approx(expected.item())
    assert generator.shift.grad is None
    (gradient,) = torch.autograd.grad(expected, discriminator.weight)
    assert discriminator.weight.grad is not None
    torch.testing.assert_close(discriminator.weight.grad, gradient)


def test_r1_is_half_gamma_times_the_interval_times_the_squared_gradient(batch: Batch) -> None:
    discriminator = Linear()
    scalars = plain_losses(Constant(), discriminator, LossSection(r1_gamma=10.0, r1_interval=16)).d_penalties(batch)
    pixels = batch.reals[0].numel()
    assert scalars["loss/r1"].item() == pytest.approx(0.25 * pixels)  # dD/dx = weight at every pixel
    assert discriminator.weight.grad is not None
    assert discriminator.weight.grad.item() == pytest.approx(10 / 2 * 16 * 2 * 0.5 * pixels)


def test_g_is_nonsaturating(batch: Batch) -> None:
    generator, discriminator = Constant(), Linear().requires_grad_(False)
    scalars = plain_losses(generator, discriminator, LossSection()).g_loss(batch)
    expected = F.softplus(-discriminator(generator(batch.g_latents))).mean()
    assert scalars["loss/g"].item() == pytest.approx(expected.item())
    assert discriminator.weight.grad is None


def test_bcr_weighs_what_augmentation_changes(batch: Batch) -> None:
    plain = plain_losses(Constant(), Linear(), LossSection()).d_loss(batch)
    section = LossSection(bcr_real=10.0, bcr_fake=10.0)
    weighed = plain_losses(Constant(), Linear(), section).d_loss(batch)
    assert "loss/bcr" not in plain
    assert weighed["loss/bcr"].item() > 0
    assert weighed["loss/d"].item() == plain["loss/d"].item()


def test_lazy_correction_of_adam() -> None:
    group = make_optimizer(list(Linear().parameters()), 2e-4, (0.0, 0.99), 16).param_groups[0]
    assert group["lr"] == pytest.approx(2e-4 * 16 / 17)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))


def test_clipping_and_the_norm_before_it(tiny_recipe: Callable[..., Recipe], store: Store) -> None:
    state = build_state(tiny_recipe("train.clip=1e-12"), store.content_hash, CPU)
    phases = make_phases(state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, state.recipe)
    before = [parameter.clone() for parameter in state.discriminator.parameters()]
    scalars = phases[0].run(next_step_micro_batches(state, store))
    assert scalars["grad/d"] > 1e-3
    moved = [(a - b).abs().max().item() for a, b in zip(state.discriminator.parameters(), before, strict=True)]
    assert max(moved) < 2e-8  # Adam divides by the gradient's size plus 1e-8: what is far below that does not move


def test_three_golden_steps(tiny_recipe: Callable[..., Recipe], store: Store) -> None:
    """Losses of a fixed seed, so that no change to networks, losses, data order or seeds goes unseen."""
    state = build_state(tiny_recipe(), store.content_hash, CPU)
    phases = make_phases(state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, state.recipe)
    steps = [run_step(state, phases, next_step_micro_batches(state, store)).get() for _ in range(3)]
    got = [step[key] for step in steps for key in ("loss/d", "loss/g")]
    assert got == pytest.approx([1.4249, 0.6371, 1.4054, 0.6376, 1.4173, 0.6376], abs=2e-4)
    assert ["loss/r1" in step for step in steps] == [True, False, True]

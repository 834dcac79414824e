"""Total variation and its annealing, and the losses on logits of patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

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
from swincli.training.losses.terms import total_variation
from swincli.training.rng import derive
from swincli.training.run.state import build_state
from swincli.training.run_step import run_step
from swincli.training.schedules import tv_weight
from swincli.training.step.phases import make_phases

CPU = torch.device("cpu")


class Patches(nn.Module):
    """A logit for every 2x2 patch, which do not overlap: the weight times the patch's sum."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * 4 * F.avg_pool2d(x, 2).sum(dim=1, keepdim=True)


class Shifted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(0.25))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z.view(-1, 3, 4, 4) + self.shift


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    draws = draw_bcr_params(4, 4, derive(0, "augment"))
    return Batch(
        torch.randn(4, 3, 4, 4), torch.randn(4, 48), torch.randn(4, 48), real_augment=draws, fake_augment=draws
    )


def test_total_variation_of_known_images() -> None:
    flat = torch.full((2, 3, 8, 8), 0.3)
    ramp = torch.arange(8.0).expand(1, 3, 8, 8)  # a step of 1 to the right, none down
    assert total_variation(flat).item() == 0
    assert total_variation(ramp).item() == 1
    assert total_variation(ramp.transpose(2, 3)).item() == 1
    assert total_variation(2 * ramp + 3 * ramp.transpose(2, 3)).item() == 5


def test_its_weight_falls_linearly_to_nothing() -> None:
    section = LossSection(tv=8.0, tv_until=1000)
    assert [tv_weight(seen, section) for seen in (0, 250, 500, 1000, 5000)] == [8, 6, 4, 0, 0]
    assert tv_weight(10**9, LossSection(tv=8.0)) == 8
    assert tv_weight(0, LossSection()) == 0


def test_it_is_added_to_g_s_loss_at_the_weight_in_force(batch: Batch) -> None:
    generator, discriminator = Shifted(), Patches()
    section = LossSection(tv=8.0, tv_until=1000)
    batch = replace(batch, images_seen=500)
    scale = nn.Parameter(torch.tensor(1.0))
    losses = plain_losses(lambda z: scale * generator(z), discriminator, section)  # type: ignore[arg-type]
    scalars = losses.g_loss(batch)
    images = generator(batch.g_latents)
    expected = F.softplus(-discriminator(scale * images)).mean() + 4 * total_variation(scale * images)
    (gradient,) = torch.autograd.grad(expected, scale)
    assert scale.grad is not None
    torch.testing.assert_close(scale.grad, gradient)
    assert scalars["loss/tv"].item() == pytest.approx(total_variation(images).item())
    assert scalars["loss/g"].item() == pytest.approx(F.softplus(-discriminator(images)).mean().item())


def test_once_annealed_it_is_neither_computed_nor_reported(batch: Batch) -> None:
    late = replace(batch, images_seen=1000)
    losses = plain_losses(Shifted(), Patches(), LossSection(tv=8.0, tv_until=1000))
    assert "loss/tv" in losses.g_loss(batch)
    assert "loss/tv" not in losses.g_loss(late)


def test_the_loop_tells_the_losses_how_far_it_is(tiny_recipe: Callable[..., Recipe], store: Store) -> None:
    recipe = tiny_recipe("loss.tv=1", "loss.tv_until=8")
    state = build_state(recipe, store.content_hash, CPU)
    phases = make_phases(state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, recipe)
    reported = ["loss/tv" in run_step(state, phases, next_step_micro_batches(state, store)).get() for _ in range(4)]
    assert reported == [True, True, False, False]


def test_r1_of_patches_that_do_not_overlap_is_that_of_the_patches_alone(batch: Batch) -> None:
    patches = batch.reals.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 2, 2)
    alone = replace(batch, reals=patches)
    whole, apart = (plain_losses(Shifted(), Patches(), LossSection()).d_penalties(reals) for reals in (batch, alone))
    torch.testing.assert_close(whole["loss/r1"], apart["loss/r1"])


def test_d_s_loss_is_the_mean_over_patches(batch: Batch) -> None:
    generator, discriminator = Shifted(), Patches()
    scalars = plain_losses(generator, discriminator, LossSection()).d_loss(batch)
    real, fake = discriminator(batch.reals), discriminator(generator(batch.d_latents))
    assert real.shape == (4, 1, 2, 2)
    assert scalars["loss/d"].item() == pytest.approx((F.softplus(-real).mean() + F.softplus(fake).mean()).item())


def test_bcr_compares_images_not_places(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirroring swaps the patches of an image and changes nothing else: no inconsistency."""
    monkeypatch.setattr("swincli.training.losses.consistency.bcr_augment", lambda images, random: images.flip(3))  # noqa: ARG005
    scalars = plain_losses(Shifted(), Patches(), LossSection(bcr_real=10.0)).d_loss(batch)
    assert scalars["loss/bcr"].item() == pytest.approx(0.0, abs=1e-10)

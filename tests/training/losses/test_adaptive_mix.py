"""AdaptiveMix: a linear trunk, a blend that is no blend, the partners, and that blends stay within groups."""

from __future__ import annotations

import pytest
import torch
from plain_losses import plain_losses
from small_networks import MODEL, WIDTH, LinearTrunk, Pictures, small_discriminator
from torch import Tensor

from swincli.recipe.objective import LossSection
from swincli.training.losses.batch import Batch
from swincli.training.losses.views import Blend, draw_blend, partners, view

BATCH = 8


def draws(weight: float, place: float = 0.0) -> Tensor:
    values = draw_blend(WIDTH, BATCH, torch.Generator().manual_seed(0))
    values[:, 0], values[:, 1] = weight, place
    return values


def blend_of(weight: float, place: float = 0.0) -> Blend:
    return Blend(weight, place, draws(weight, place)[:, 2:])


def images(seed: int = 0) -> Tensor:
    return torch.randn(BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def networks_of(discriminator: object, section: LossSection):  # type: ignore[no-untyped-def]
    return plain_losses(Pictures(), discriminator, section, model=MODEL).networks


def test_a_linear_trunk_has_the_loss_minus_one_without_noise() -> None:
    section = LossSection(adaptive_mix=1.0, adaptive_mix_noise=0.0)
    for weight in (0.2, 0.7):
        seen = view(networks_of(LinearTrunk(), section), section, images(), None, blend_of(weight, 0.9))
        assert seen.blend_loss is not None
        assert seen.blend_loss.item() == pytest.approx(-1.0, abs=1e-6)
    noisy = view(
        networks_of(LinearTrunk(), LossSection(adaptive_mix=1.0)),
        LossSection(adaptive_mix=1.0),
        images(),
        None,
        blend_of(0.2),
    )
    assert noisy.blend_loss is not None
    assert -1.0 < noisy.blend_loss.item() < -0.9


def test_a_blend_of_weight_one_doubles_the_logits() -> None:
    section = LossSection(adaptive_mix=1.0)
    discriminator = small_discriminator().eval()
    seen = view(networks_of(discriminator, section), section, images(), None, blend_of(1.0, 0.5))
    torch.testing.assert_close(seen.logits, 2 * discriminator(images()))


def test_without_the_cosine_it_is_a_run_with_doubled_logits() -> None:
    """The cosine's gradient is the only other one: at weight 1 of the blend the adversarial loss is that of 2 D(x)."""
    section = LossSection(adaptive_mix=1e-30)
    z = torch.randn(BATCH, 16, generator=torch.Generator().manual_seed(2))
    found = {f"blend/{name}": draws(1.0) for name in ("d_real", "d_fake", "g_fake")}
    batch = Batch(images(), z, z, draws=found)

    class Doubled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.real = small_discriminator().eval()

        def forward(self, x: Tensor) -> Tensor:
            return 2 * self.real(x)

    mixed, doubled = small_discriminator().eval(), Doubled()
    plain_losses(Pictures(), mixed, section, model=MODEL).d_loss(batch)
    plain_losses(Pictures(), doubled, LossSection(), model=MODEL).d_loss(batch)
    for one, other in zip(mixed.parameters(), doubled.real.parameters(), strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_partners_are_others_of_the_same_group_each_once() -> None:
    x = torch.arange(BATCH)  # groups of 4: 0 2 4 6 and 1 3 5 7
    seen = set()
    for draw in (0.0, 0.34, 0.67, 0.999):
        chosen = partners(x, 4, draw)
        assert sorted(chosen.tolist()) == list(range(BATCH))
        assert (chosen % 2 == x % 2).all()
        assert (chosen != x).all()
        seen.add(tuple(chosen.tolist()))
    assert len(seen) == 3


def test_weight_and_partner_are_the_batch_s_and_noise_is_each_image_s() -> None:
    values = draw_blend(WIDTH, BATCH, torch.Generator().manual_seed(0))
    assert values.shape == (BATCH, 2 + 16 * WIDTH)
    assert (values[:, :2] == values[0, :2]).all()
    assert (values[1:, 2:] != values[0, 2:]).all()


def test_only_the_blended_image_s_features_carry_the_loss() -> None:
    section = LossSection(adaptive_mix=1.0)
    discriminator = small_discriminator().eval()
    leaf = images().requires_grad_()
    seen = view(networks_of(discriminator, section), section, leaf, None, blend_of(0.3, 0.5))
    assert seen.blend_loss is not None
    (ours,) = torch.autograd.grad(seen.blend_loss, leaf)
    again = images().requires_grad_()
    group, weight = 4, 0.3
    blend = weight * again + (1 - weight) * partners(again, group, 0.5)
    with torch.no_grad():
        plain = discriminator.features(images())
        target = weight * plain + (1 - weight) * partners(plain, group, 0.5)
        target += 0.05 * draws(0.3)[:, 2:].view_as(target)
    cosine = torch.cosine_similarity(discriminator.features(blend).flatten(1), target.flatten(1))
    (expected,) = torch.autograd.grad(-cosine.mean(), again)
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-6)


def test_r1_is_that_of_the_plain_discriminator() -> None:
    batch = Batch(images(), torch.randn(BATCH, 16), torch.randn(BATCH, 16))
    plain, mixed = (
        plain_losses(Pictures(), small_discriminator(), section, model=MODEL).d_penalties(batch)["loss/r1"]
        for section in (LossSection(), LossSection(adaptive_mix=1.0))
    )
    assert torch.equal(plain, mixed)

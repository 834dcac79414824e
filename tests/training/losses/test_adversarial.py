"""The adversarial losses: reference numbers, and what pairing is blind to."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from plain_losses import plain_losses
from small_networks import MODEL, Pictures, Said, small_discriminator

from swincli.recipe.objective import LossSection
from swincli.training.losses.adversarial import ADVERSARIAL
from swincli.training.losses.batch import Batch

REAL, FAKE = torch.tensor([[2.0], [0.0]]), torch.tensor([[-2.0], [0.5]])
EXPECTED = {
    "logistic": (0.960540, 1.300502),
    "hinge": (1.25, 0.75),
    "least-squares": (1.5625, 2.3125),
    "wasserstein": (-1.75, 0.75),
    "relativistic": (0.496113, 2.246114),
}
"""Losses of D and of G at these logits."""


def test_every_loss_has_its_numbers_here() -> None:
    assert EXPECTED.keys() == ADVERSARIAL.keys()
    assert get_args(LossSection.model_fields["adversarial"].annotation) == tuple(ADVERSARIAL)
    for name, loss in ADVERSARIAL.items():
        assert LossSection(adversarial=name).has_boundary == (loss.boundary is not None)


@pytest.mark.parametrize("name", EXPECTED)
def test_reference_numbers(name: str) -> None:
    loss = ADVERSARIAL[name]
    got = loss.d(REAL, FAKE).item(), loss.g(FAKE, REAL).mean().item()
    assert got == pytest.approx(EXPECTED[name], abs=1e-6)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_phases_minimise_them(name: str) -> None:
    images, z = torch.zeros(2, 3, 16, 16), torch.zeros(2, 16)
    batch = Batch(images, z, z, g_reals=images)
    real, fake = REAL.flatten().tolist(), FAKE.flatten().tolist()
    section = LossSection(adversarial=name)
    d = plain_losses(Pictures(), Said(fake, real), section).d_loss(batch)
    g = plain_losses(Pictures(), Said(fake, real), section).g_loss(batch)
    assert (d["loss/d"].item(), g["loss/g"].item()) == pytest.approx(EXPECTED[name], abs=1e-6)
    assert (d["d/real_logit"].item(), d["d/fake_logit"].item()) == (1.0, -0.75)
    if name == "wasserstein":  # has no boundary
        assert d.keys() == {"loss/d", "d/real_logit", "d/fake_logit"}
        return
    assert d["d/real_accuracy"].item() == 0.5
    signs = {"relativistic": 0.0, "least-squares": 0.0}  # of 4, -0.5; of 1.5, -0.5
    assert d["d/real_sign"].item() == signs.get(name, 0.5)  # else of 2, 0


@pytest.mark.parametrize("name", [name for name, loss in ADVERSARIAL.items() if loss.boundary is not None])
def test_of_an_undecided_d_the_mean_sign_is_0(name: str) -> None:
    boundary = ADVERSARIAL[name].boundary
    assert boundary is not None
    logit = torch.full((2, 1), boundary, requires_grad=True)
    ADVERSARIAL[name].d(logit, logit).backward()
    assert logit.grad is not None
    assert logit.grad.abs().max() < 1e-6  # it gains nothing by a shift: that is what undecided means
    z, said = torch.zeros(2, 16), [boundary] * 2
    losses = plain_losses(Pictures(), Said(said, said), LossSection(adversarial=name))
    assert losses.d_loss(Batch(torch.zeros(2, 3, 16, 16), z, z))["d/real_sign"].item() == 0


def test_a_constant_added_to_all_logits_changes_nothing_with_pairs() -> None:
    loss = ADVERSARIAL["relativistic"]
    for shift in (-3.0, 7.5):
        assert loss.d(REAL + shift, FAKE + shift).item() == pytest.approx(loss.d(REAL, FAKE).item(), abs=1e-6)
        torch.testing.assert_close(loss.g(FAKE + shift, REAL + shift), loss.g(FAKE, REAL))


def test_with_swapped_roles_d_and_g_mirror_each_other() -> None:
    loss = ADVERSARIAL["relativistic"]
    assert loss.d(FAKE, REAL).item() == pytest.approx(loss.g(FAKE, REAL).mean().item())
    assert loss.g(REAL, FAKE).mean().item() == pytest.approx(loss.d(REAL, FAKE).item())


def test_reals_of_g_s_phase_are_constants_and_their_forward_moves_no_vectors() -> None:
    discriminator, z = small_discriminator(), torch.randn(4, 16)
    images = torch.randn(4, 3, 16, 16)
    generator = Pictures()
    losses = plain_losses(generator, discriminator, LossSection(adversarial="relativistic"), model=MODEL)
    losses.g_loss(Batch(images, z, z, g_reals=images))
    once = small_discriminator()
    once(generator(z))
    for name, value in discriminator.named_buffers():
        assert torch.equal(value, once.get_buffer(name)), name

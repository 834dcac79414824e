"""Learning-rate decay, EMA, and R3GAN's half-cosines as functions of the images seen."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from swincli.recipe.objective import LossSection
from swincli.recipe.schema import EmaSection, TrainSection
from swincli.training.schedules import adam_beta2, ema_decay, half_cosine, lr_scale, r1_weight, r2_weight
from swincli.training.step.optimizers import make_optimizer, set_rates


def test_lr_falls_linearly_to_zero_and_not_before() -> None:
    train = TrainSection(total=1000, decay_from=600)
    assert [lr_scale(seen, train) for seen in (0, 600, 700, 800, 1000, 1100)] == [1, 1, 0.75, 0.5, 0, 0]


def test_lr_stays_without_a_decay() -> None:
    assert lr_scale(10**9, TrainSection()) == 1


def test_ema_halves_an_old_weight_in_a_half_life() -> None:
    assert ema_decay(10**6, 32, EmaSection(half_life=10_000)) == pytest.approx(0.5 ** (32 / 10_000))
    assert ema_decay(10**6, 10_000, EmaSection(half_life=10_000)) == pytest.approx(0.5)


def test_ema_ramp_shortens_the_half_life_early() -> None:
    ema = EmaSection(half_life=10_000, ramp=0.05)
    assert ema_decay(1_000, 50, ema) == pytest.approx(0.5)
    assert ema_decay(10**6, 32, ema) == pytest.approx(0.5 ** (32 / 10_000))


def test_a_constant_decay_is_the_same_at_any_time_and_batch() -> None:
    ema = EmaSection(decay=0.5 ** (32 / 10_000))
    assert [ema_decay(seen, batch, ema) for seen, batch in ((4, 4), (10**7, 4), (10**7, 512))] == [
        0.5 ** (32 / 10_000)
    ] * 3


# R3GAN's presets: half-cosines in images


def test_gamma_of_r3gan_s_presets() -> None:
    ffhq = LossSection(r1_gamma=150.0, r1_gamma_end=15.0, r2_gamma=150.0, r2_gamma_end=15.0, gamma_until=20_000_000)
    for weight in (r1_weight, r2_weight):
        values = [weight(seen, ffhq) for seen in (0, 5_000_000, 10_000_000, 20_000_000, 30_000_000)]
        assert values == pytest.approx([150, 130.23, 82.5, 15, 15], abs=0.005)
    small = LossSection(r1_gamma=2.0, r1_gamma_end=0.2, gamma_until=20_000_000)
    assert r1_weight(10_000_000, small) == pytest.approx(1.1)
    assert r2_weight(10_000_000, small) == 0
    assert r1_weight(10**9, LossSection()) == 10.0


def test_beta2_of_r3gan() -> None:
    train = TrainSection(beta2=0.9, beta2_end=0.99, beta2_until=20_000_000)
    values = [adam_beta2(seen, train) for seen in (0, 5_000_000, 10_000_000, 20_000_000, 30_000_000)]
    assert values == pytest.approx([0.9, 0.91318, 0.945, 0.99, 0.99], abs=5e-6)
    assert adam_beta2(10**9, TrainSection()) == 0.99


def test_half_life_of_r3gan() -> None:
    """From almost nothing to 500,000 images; the decay of a step is a function of the half-life of the moment."""
    ema = EmaSection(half_life=1, half_life_end=500_000, half_life_until=20_000_000)
    assert ema_decay(0, 256, ema) == pytest.approx(0, abs=1e-30)
    assert ema_decay(10_000_000, 256, ema) == pytest.approx(0.5 ** (256 / 250_000.5))
    assert ema_decay(40_000_000, 256, ema) == pytest.approx(0.5 ** (256 / 500_000))


def test_a_half_cosine_is_flat_at_both_ends_and_never_leaves_them() -> None:
    values = [half_cosine(seen, 2.0, -1.0, 100) for seen in range(0, 130, 10)]
    steps = [after - before for before, after in pairwise(values)]
    assert all(step <= 0 for step in steps)
    assert steps[0] == pytest.approx(steps[9])
    assert min(steps) == pytest.approx(steps[4])
    assert values[10:] == [-1.0] * 3
    assert half_cosine(50, 2.0, None, None) == 2.0


def test_adam_follows_the_schedule_with_its_correction() -> None:
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], 1e-3, (0.0, 0.9), 16)
    set_rates(optimizer, 0.5, 0.99, 16)
    [group] = optimizer.param_groups
    assert group["lr"] == pytest.approx(1e-3 * 16 / 17 / 2)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))
    set_rates(optimizer, 1.0, None, 16)
    assert group["betas"][1] == pytest.approx(0.99 ** (16 / 17))

"""Learning-rate decay and EMA as functions of the images seen."""

from __future__ import annotations

import pytest

from swincli.recipe.schema import EmaSection, TrainSection
from swincli.training.schedules import ema_decay, lr_scale


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

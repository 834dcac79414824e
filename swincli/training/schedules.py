"""Schedules as functions of the images seen: learning rates, loss weights, EMA decay, and when an interval is due."""

from __future__ import annotations

import math

from swincli.recipe.objective import LossSection
from swincli.recipe.schema import EmaSection, TrainSection


def crossed(images_seen: int, batch: int, interval: int) -> bool:
    """Whether the step that ended at `images_seen` passed a multiple of `interval`."""
    return images_seen // interval != (images_seen - batch) // interval


def is_due(images_seen: int, batch: int, interval: int) -> bool:
    """Whether a phase of every `interval` steps runs in the step after `images_seen` images."""
    return images_seen // batch % interval == 0


def lr_scale(images_seen: int, train: TrainSection) -> float:
    """Factor of both learning rates: 1, then linearly to 0 between `decay_from` and `total`.

    It depends on the images seen alone, so a resumed run continues the same schedule.
    """
    if train.decay_from is None or images_seen <= train.decay_from:
        return 1.0
    return max(0.0, (train.total - images_seen) / (train.total - train.decay_from))


def tv_weight(images_seen: int, loss: LossSection) -> float:
    """Weight of total variation: `tv` at the start, then linearly to 0 at `tv_until`."""
    return loss.tv if loss.tv_until is None else loss.tv * max(0.0, 1.0 - images_seen / loss.tv_until)


def mee_entropy_weight(images_seen: int, loss: LossSection) -> float:
    """Weight of MEE's entropy: linearly from 0 to `mee_entropy` at `mee_until`, or at once without it."""
    return loss.mee_entropy if loss.mee_until is None else loss.mee_entropy * min(1.0, images_seen / loss.mee_until)


def ema_decay(images_seen: int, batch: int, ema: EmaSection) -> float:
    """EMA decay of one step: `decay` if the recipe gives it, for any batch size.

    Otherwise `0.5 ** (batch / half_life)`; `ramp` shortens the half-life early in training.
    """
    if ema.decay is not None:
        return ema.decay
    half_life = half_cosine(images_seen, float(ema.half_life), ema.half_life_end, ema.half_life_until)
    if ema.ramp is not None:
        half_life = min(half_life, images_seen * ema.ramp)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


def half_cosine(images_seen: int, start: float, end: float | None, until: int | None) -> float:
    """From `start` to `end` on a half-cosine over `until` images, then `end` (R3GAN). Without `end`, `start`."""
    if end is None or until is None:
        return start
    if images_seen >= until:
        return end
    return start + (1 - (1 + math.cos(math.pi * images_seen / until)) / 2) * (end - start)


def r1_weight(images_seen: int, loss: LossSection) -> float:
    """R1's gamma."""
    return half_cosine(images_seen, loss.r1_gamma, loss.r1_gamma_end, loss.gamma_until)


def r2_weight(images_seen: int, loss: LossSection) -> float:
    """R2's gamma."""
    return half_cosine(images_seen, loss.r2_gamma, loss.r2_gamma_end, loss.gamma_until)


def adam_beta2(images_seen: int, train: TrainSection) -> float:
    """Adam's beta2, before the correction for lazy penalties."""
    return half_cosine(images_seen, train.beta2, train.beta2_end, train.beta2_until)


def features_weight(images_seen: int, loss: LossSection) -> float:
    """Weight of the D on frozen features: 0 before `features_from`, and `features_end` from `features_until` on."""
    if images_seen < loss.features_from:
        return 0.0
    return half_cosine(images_seen, loss.features, loss.features_end, loss.features_until)


def top_k_share(images_seen: int, loss: LossSection) -> float:
    """Share of the fakes that G learns from: `top_k` to the power of the intervals passed, at least `top_k_min`."""
    if loss.top_k >= 1:
        return 1.0
    return max(loss.top_k ** (images_seen // loss.top_k_every), loss.top_k_min)

"""Schedules as functions of the images seen: learning rates, loss weights, EMA decay, and when an interval is due."""

from __future__ import annotations

from swincli.recipe.schema import EmaSection, LossSection, TrainSection


def crossed(images_seen: int, batch: int, interval: int) -> bool:
    """Whether the step that ended at `images_seen` passed a multiple of `interval`."""
    return images_seen // interval != (images_seen - batch) // interval


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


def ema_decay(images_seen: int, batch: int, ema: EmaSection) -> float:
    """EMA decay of one step: `decay` if the recipe gives it, for any batch size.

    Otherwise `0.5 ** (batch / half_life)`; `ramp` shortens the half-life early in training.
    """
    if ema.decay is not None:
        return ema.decay
    half_life = float(ema.half_life)
    if ema.ramp is not None:
        half_life = min(half_life, images_seen * ema.ramp)
    return float(0.5 ** (batch / max(half_life, 1e-8)))

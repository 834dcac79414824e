"""What changes over a run, as functions of the images seen."""

from __future__ import annotations

from swincli.recipe.schema import EmaSection, LossSection, TrainSection


def lr_scale(images_seen: int, train: TrainSection) -> float:
    """Share of the learning rates in force: 1, then linearly to 0 between `decay_from` and `total`.

    A function of the images seen alone, so a resumed run goes on where the first one was.
    """
    if train.decay_from is None or images_seen <= train.decay_from:
        return 1.0
    return max(0.0, (train.total - images_seen) / (train.total - train.decay_from))


def tv_weight(images_seen: int, loss: LossSection) -> float:
    """Weight of total variation in force: `tv` at the start, linearly to 0 at `tv_until`."""
    return loss.tv if loss.tv_until is None else loss.tv * max(0.0, 1.0 - images_seen / loss.tv_until)


def ema_decay(images_seen: int, batch: int, ema: EmaSection) -> float:
    """Weight of the old average in one step: `decay` where it is given, whatever the batch.

    Else it is `0.5 ** (batch / half_life)`, and `ramp` shortens the half-life early on.
    """
    if ema.decay is not None:
        return ema.decay
    half_life = float(ema.half_life)
    if ema.ramp is not None:
        half_life = min(half_life, images_seen * ema.ramp)
    return float(0.5 ** (batch / max(half_life, 1e-8)))

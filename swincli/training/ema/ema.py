"""Updating the EMAs of G's weights after each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from swincli.training.ema.power_profiles import power_ema_decay
from swincli.training.schedules import ema_decay

if TYPE_CHECKING:
    from swincli.training.run.state import TrainingState


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float) -> None:
    """In place: `average = decay * average + (1 - decay) * network` for all parameters.

    Buffers, such as AdaBN's running statistics, are copied: they are averages already.
    """
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1.0 - decay)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)


def update_emas(state: TrainingState) -> None:
    """Update the plain EMA and those of `ema.power`, after a step has been added to `images_seen`."""
    seen, batch, ema = state.images_seen, state.recipe.train.batch, state.recipe.ema
    update_ema(state.average, state.generator, ema_decay(seen, batch, ema))
    for width, average in zip(ema.power, state.power, strict=True):
        update_ema(average, state.generator, power_ema_decay(seen, batch, width))

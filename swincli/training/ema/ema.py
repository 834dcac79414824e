"""The running averages of G's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from swincli.training.ema.power_profiles import power_decay
from swincli.training.step.schedules import ema_decay

if TYPE_CHECKING:
    from swincli.training.run.state import TrainingState


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move every weight of `average` towards `network`: `decay * average + (1 - decay) * network`.

    Buffers, such as the running statistics of AdaBN, are averages already and are copied.
    """
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1.0 - decay)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)


def move_averages(state: TrainingState) -> None:
    """Move all averages of G after a step, once its images are counted: the plain one and those of `ema.power`."""
    seen, batch, ema = state.images_seen, state.recipe.train.batch, state.recipe.ema
    update_ema(state.average, state.generator, ema_decay(seen, batch, ema))
    for width, average in zip(ema.power, state.power, strict=True):
        update_ema(average, state.generator, power_decay(seen, batch, width))

"""The optimisation loop of inversion and tuning: Adam, learning-rate schedule, check of the losses, callback."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from swincli.errors import SwincliError


class StepCallback(Protocol):
    """Called in every step with its number from 1, the codes `[B, L, latent_dim]` before it and their losses `[B]`."""

    def __call__(self, step: int, codes: Tensor, losses: Tensor) -> None: ...


@dataclass(frozen=True)
class StepResult:
    """Forward pass of one step.

    Attributes:
        names: Sources of the B pictures.
        codes: w+ `[B, L, latent_dim]`, detached.
        losses: Distance of each image to its picture, `[B]`.
        total: What to minimise, a scalar with a graph.
    """

    names: Sequence[str]
    codes: Tensor
    losses: Tensor
    total: Tensor


def optimise(
    adam: torch.optim.Adam,
    steps: int,
    rates: Callable[[int], Sequence[float]],
    forward: Callable[[int], StepResult],
    callback: StepCallback,
) -> None:
    """Take `steps` steps of Adam.

    Args:
        adam: The optimiser.
        steps: Number of steps.
        rates: Learning rate of each parameter group at a step, counted from 0.
        forward: Computes the losses of a step, counted from 0.
        callback: Called before each update.

    Raises:
        SwincliError: the loss of a picture is not finite; the message names the picture and the step.
    """
    for step in range(steps):
        for group, rate in zip(adam.param_groups, rates(step), strict=True):
            group["lr"] = rate
        result = forward(step)
        _check_finite(result, step + 1)
        callback(step + 1, result.codes, result.losses.detach())
        adam.zero_grad()
        result.total.backward()
        adam.step()


def cosine_ramp_down(step: int, steps: int, share: float) -> float:
    """Learning-rate factor of a step, counted from 0: 1, then a cosine towards 0 over the last `share` of steps."""
    left = min(1.0, (1.0 - step / steps) / share)
    return 0.5 * (1.0 - math.cos(left * math.pi))


def _check_finite(result: StepResult, step: int) -> None:
    finite = result.losses.isfinite()
    if not finite.all():
        name = result.names[int((~finite).nonzero()[0])]
        raise SwincliError(
            f"{name}: the loss is not finite at step {step}",
            "The weights of the model or of the --loss network may be damaged.",
        )

"""The heads of the second D while no loss trains them: Adam leaves them alone, and does not count such steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from swincli.recipe import Recipe
from swincli.training.losses import vision_aided
from swincli.training.schedules import features_weight

Rest = Callable[[int], None]
"""From the images seen: takes the gradients away from what the optimiser must leave alone in its next step."""


def no_rest(images_seen: int) -> None:
    """Every parameter takes part in the step."""


def rest_of(recipe: Recipe, discriminator: nn.Module, optimizer: torch.optim.Optimizer, *, penalties: bool) -> Rest:
    """The rest of the second D's heads in a phase of D.

    While its weight is 0, heads have gradients of 0. If Adam counted such steps, its average of squared gradients would
    be near 0 and no longer corrected for its start, and the first real updates would be up to 1 / sqrt(1 - beta2) times
    too large. So heads have no moments until the weight is above 0; those in states of older versions are dropped.

    Args:
        recipe: The experiment.
        discriminator: D, not wrapped.
        optimizer: D's optimiser.
        penalties: Whether it is the phase of R1 and R2. It does not see the second D, and with beta1 above 0, momentum
            would move the heads there.
    """
    if not vision_aided.is_used(recipe):
        return no_rest
    heads = list(discriminator.get_submodule(vision_aided.NAME).parameters())
    has_momentum = penalties and recipe.train.beta1 > 0

    def rest(images_seen: int) -> None:
        is_off = features_weight(images_seen, recipe.loss) == 0
        for parameter in heads if is_off or has_momentum else ():
            parameter.grad = None
            if is_off:
                optimizer.state.pop(parameter, None)

    return rest

"""AugSelf-GAN (Hou et al., NeurIPS 2023): D predicts what DiffAugment did, with other signs for fakes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.layers import Linear
from swincli.model.discriminators.epilogue import LAST_RESOLUTION
from swincli.ops.precision import in_float32
from swincli.recipe import Recipe
from swincli.training.augment.diffaugment import Plan, parameters
from swincli.training.losses.batch import Batch
from swincli.training.losses.phases import DPhase, GPhase, Setting
from swincli.training.losses.views import View, hidden_only

OUTPUTS = {"color": 3, "translation": 2, "cutout": 2}
NAME = "augself"
"""Name of the heads among D's modules."""


class AugSelfHeads(nn.Module):
    """One linear layer for each group, from D's hidden vector to the group's parameters.

    Args:
        recipe: Gives the groups, the width and whether D has spectral norm.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        width, spectral = recipe.model.channels("d")[LAST_RESOLUTION], recipe.model.spectral_norm
        for group in recipe.loss.augself_groups:
            self.add_module(group, Linear(width, OUTPUTS[group], spectral=spectral))

    @in_float32
    def forward(self, difference: Tensor) -> dict[str, Tensor]:
        """Predictions by group from `f(T(x)) - f(x)`, `[B, C]`."""
        return {name: head(difference) for name, head in self.named_children()}


def is_used(recipe: Recipe) -> bool:
    """Whether D has the heads."""
    return bool(recipe.loss.augself_d or recipe.loss.augself_g)


def augself_d(phase: DPhase) -> Tensor:
    """`sum_g MSE(p_g(real), w_g) + MSE(p_g(fake), -w_g)`; w_g are the augmentation's parameters in [0, 1]."""
    of_reals = _errors(phase.setting, phase.real, phase.reals, phase.batch, "d_real")
    of_fakes = _errors(phase.setting, phase.fake, phase.fakes, phase.batch, "d_fake")
    return of_reals[0] + of_fakes[1]


def augself_g(phase: GPhase) -> Tensor:
    """`sum_g MSE(p_g(fake), w_g) - MSE(p_g(fake), -w_g)`."""
    towards, away = _errors(phase.setting, phase.fake, phase.images, phase.batch, "g_fake")
    return towards - away


def _errors(setting: Setting, seen: View, plain: Tensor, batch: Batch, view: str) -> tuple[Tensor, Tensor]:
    """Mean squared errors, summed over groups, of the predictions against w and against -w.

    The plain images have the blur of the augmented ones, so that the transforms alone tell them apart. Their forward
    leaves spectral norm's vectors alone.
    """
    networks = setting.networks
    plan = setting.plan(batch, view, plain.device)
    assert isinstance(plan, Plan)
    assert seen.hidden is not None
    with networks.frozen_vectors():
        hidden = networks.look(hidden_only, setting.blur(plain, batch), seen.labels)
    predicted = networks.module(NAME)(seen.hidden - hidden)
    towards, away = seen.logits.new_zeros(()), seen.logits.new_zeros(())
    for group, values in predicted.items():
        wanted = parameters(group, plan.draws, plain.shape[-1], setting.recipe.augment).to(values)
        towards = towards + F.mse_loss(values, wanted)
        away = away + F.mse_loss(values, -wanted)
    return towards, away

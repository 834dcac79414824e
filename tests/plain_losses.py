"""Losses of any two networks, without a run."""

from __future__ import annotations

from typing import Any

import torch

from swincli.recipe import Recipe
from swincli.recipe.objective import AugmentSection, LossSection
from swincli.recipe.schema import ModelSection
from swincli.training.augment.pipe import Augmentation
from swincli.training.losses.losses import Losses
from swincli.training.losses.memory import Memory
from swincli.training.losses.networks import Networks
from swincli.training.losses.phases import Setting
from swincli.training.losses.remembered import new_memory


def plain_losses(
    generator: Any,
    discriminator: Any,
    section: LossSection | None = None,
    augment: AugmentSection | None = None,
    *,
    model: ModelSection | None = None,
    compiled: bool = False,
    memory: Memory | None = None,
) -> Losses:
    """The losses of a [loss] and an [augment] section for two networks, in float32 and one process."""
    recipe = Recipe(model=model or ModelSection(), loss=section or LossSection(), augment=augment or AugmentSection())
    networks = Networks(generator, discriminator, torch.float32, compiled)
    augmentation = Augmentation(recipe.augment, recipe.model)
    return Losses(Setting(recipe, networks, augmentation, memory or new_memory(recipe)))

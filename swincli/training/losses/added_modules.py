"""Modules that losses add to D, as a table. They are trained with D, and are in states and models as its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from swincli.model.discriminators.frozen_features import FrozenFeatureDiscriminator
from swincli.recipe import Recipe
from swincli.training.losses import augself, vision_aided


@dataclass(frozen=True)
class AddedModule:
    """A module of a loss.

    Attributes:
        is_used: Whether a recipe has it.
        build: Builds it.
    """

    is_used: Callable[[Recipe], bool]
    build: Callable[[Recipe], nn.Module]


ADDED_MODULES: dict[str, AddedModule] = {
    augself.NAME: AddedModule(augself.is_used, augself.AugSelfHeads),
    vision_aided.NAME: AddedModule(vision_aided.is_used, lambda recipe: FrozenFeatureDiscriminator(recipe.model)),
}
"""By the name of the module in D."""


def used_modules(recipe: Recipe) -> dict[str, AddedModule]:
    """The modules of a recipe."""
    return {name: module for name, module in ADDED_MODULES.items() if module.is_used(recipe)}

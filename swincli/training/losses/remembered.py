"""Everything that losses and augmentation remember, as a table, and its update after a step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from swincli.recipe import Recipe
from swincli.training.augment.probability import ADJUST_EVERY, adjusted_probability, is_adaptive
from swincli.training.losses import lecam, mee, path_length
from swincli.training.losses.memory import Memory, Remembered, Step, scalar

P, SIGNS, STEPS = "augment/p", "augment/signs", "augment/steps"


def _update_probability(values: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
    """ADA's controller: every `ADJUST_EVERY` steps, by the mean sign of D's logits at reals since the last time."""
    signs, steps = float(values[SIGNS]) + step.means["d/real_sign"], int(values[STEPS]) + 1
    if steps < ADJUST_EVERY:
        return {SIGNS: scalar(signs), STEPS: scalar(steps)}
    section, images = step.recipe.augment, steps * step.recipe.train.batch
    p = adjusted_probability(float(values[P]), signs / steps, images, section)
    return {P: scalar(p), SIGNS: scalar(0.0), STEPS: scalar(0.0)}


REMEMBERED: tuple[Remembered, ...] = (
    Remembered(
        wanted=lambda recipe: is_adaptive(recipe.augment),
        start=lambda recipe: {P: scalar(recipe.augment.start), SIGNS: scalar(0.0), STEPS: scalar(0.0)},
        update=_update_probability,
    ),
    lecam.REMEMBERED,
    path_length.REMEMBERED,
    mee.REMEMBERED,
)


def new_memory(recipe: Recipe) -> Memory:
    """The memory of a recipe at the start of a run."""
    values: dict[str, Tensor] = {}
    for each in REMEMBERED:
        if each.wanted(recipe):
            values |= each.start(recipe)
    return Memory(values)


def noted_features(memory: Memory) -> dict[str, Tensor]:
    """The features that this rank noted in a step, `[per_rank, C]` in the order of its micro-batches; forgets them."""
    features = {name: torch.cat(parts) for name, parts in memory.noted.items()}
    memory.noted.clear()
    return features


def update_memory(memory: Memory, step: Step) -> None:
    """Change what is remembered after a step; every rank gets the same means and features."""
    for each in REMEMBERED:
        if each.wanted(step.recipe):
            features = {name: step.features[name] for name in each.features}
            memory.values |= each.update(memory.values, Step(step.recipe, step.images_seen, step.means, features))

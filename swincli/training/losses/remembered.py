"""Everything that losses and augmentation remember, as a table, and its update after a step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from swincli.recipe import Recipe
from swincli.training.augment.probability import (
    ADJUST_EVERY,
    AUGMENT_P,
    AUGMENT_R,
    adjusted_probability,
    is_adaptive,
)
from swincli.training.losses import lecam, mee, path_length, weight_penalties
from swincli.training.losses.memory import Memory, Remembered, Step, scalar

SIGNS, MEANS, STEPS = "augment/signs", "augment/means", "augment/steps"


def _start_of_probability(recipe: Recipe) -> dict[str, Tensor]:
    zeros = {name: scalar(0.0) for name in (SIGNS, MEANS, STEPS)}
    return {AUGMENT_P: scalar(recipe.augment.start), AUGMENT_R: scalar(math.nan), **zeros}


def _update_probability(values: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
    """ADA's controller: every `ADJUST_EVERY` steps, by r_t.

    r_t is the mean sign of D's logits at reals since the last adjustment, those of R1's phase included.
    """
    new = [step.means[name] for name in ("d/real_sign", "r1/real_sign") if name in step.means]
    signs, means, steps = float(values[SIGNS]) + sum(new), int(values[MEANS]) + len(new), int(values[STEPS]) + 1
    if steps < ADJUST_EVERY:
        return {SIGNS: scalar(signs), MEANS: scalar(means), STEPS: scalar(steps)}
    r, images = signs / means, steps * step.recipe.train.batch
    p = adjusted_probability(float(values[AUGMENT_P]), r, images, step.recipe.augment)
    return {AUGMENT_P: scalar(p), AUGMENT_R: scalar(r), SIGNS: scalar(0.0), MEANS: scalar(0.0), STEPS: scalar(0.0)}


REMEMBERED: tuple[Remembered, ...] = (
    Remembered(
        wanted=lambda recipe: is_adaptive(recipe.augment),
        start=_start_of_probability,
        update=_update_probability,
        reads_last=lambda _, values, __: int(values[STEPS]) + 1 >= ADJUST_EVERY,
    ),
    lecam.REMEMBERED,
    path_length.REMEMBERED,
    mee.REMEMBERED,
    weight_penalties.REMEMBERED_ELASTIC,
    weight_penalties.REMEMBERED_REPEL,
)


def new_memory(recipe: Recipe, device: torch.device | None = None) -> Memory:
    """The memory of a recipe at the start of a run; tensors other than scalars are on the device."""
    values: dict[str, Tensor] = {}
    for each in REMEMBERED:
        if each.wanted(recipe):
            values |= each.start(recipe)
    return Memory({name: value.to(device) if value.dim() else value for name, value in values.items()})


def noted_features(memory: Memory) -> dict[str, Tensor]:
    """The features that were noted in a step, `[batch, C]`; forgets them."""
    features = {name: torch.cat(parts) for name, parts in memory.noted.items()}
    memory.noted.clear()
    return features


def update_memory(memory: Memory, step: Step) -> None:
    """Change what is remembered of a step: of its means or of its features, whichever are given."""
    for each in REMEMBERED:
        if each.wanted(step.recipe) and (step.features if each.features else step.means):
            memory.values |= each.update(memory.values, step)


def reads_last_step(memory: Memory, recipe: Recipe, images_seen: int) -> bool:
    """Whether the step after `images_seen` images reads what the means of the step before it change in the memory."""
    return any(each.wanted(recipe) and each.reads_last(recipe, memory.values, images_seen) for each in REMEMBERED)

"""Splitting a batch over ranks, and a rank's images into micro-batches (gradient accumulation).

The batch is the recipe's on every machine. Gradients are averaged over ranks and micro-batches. Images that D compares
(a group of the minibatch standard deviation) stay together, so the losses equal those of one process that takes the
whole batch at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.errors import RecipeError
from swincli.model.blocks.style import STYLES
from swincli.model.discriminators.epilogue import deviation_group
from swincli.model.discriminators.frozen_features import NORM_GROUP
from swincli.recipe import Recipe

_NEED_THE_WHOLE_BATCH: tuple[tuple[str, str, Callable[[Recipe], bool], str], ...] = (
    ("model", "style", lambda recipe: STYLES[recipe.model.style].whole_batch, "takes statistics over the whole batch"),
    ("loss", "top_k", lambda recipe: recipe.loss.top_k < 1, "takes the best fakes of the whole batch"),
    (
        "loss",
        "mee_entropy",
        lambda recipe: recipe.loss.mee_entropy > 0,
        "takes the logarithm of a mean over the whole batch",
    ),
)
"""Keys that need the batch in one forward: section and key, whether a recipe uses it, and why."""


def needs_whole_batch(recipe: Recipe) -> bool:
    """Whether a recipe needs the batch in one forward, so that it can be split neither over ranks nor in time."""
    return any(applies(recipe) for _, _, applies, _ in _NEED_THE_WHOLE_BATCH)


@dataclass(frozen=True)
class BatchSplit:
    """How a batch is split.

    Attributes:
        batch: Images of a step, over all ranks.
        group: Images that stay together.
        processes: Number of ranks.
        micro_batches: Micro-batches of a rank in one step.
    """

    batch: int
    group: int = 1
    processes: int = 1
    micro_batches: int = 1

    @property
    def per_rank(self) -> int:
        """Images of one rank."""
        return self.batch // self.processes

    @property
    def micro_batch_size(self) -> int:
        """Images of one forward."""
        return self.per_rank // self.micro_batches

    def rank_indices(self, rank: int) -> Tensor:
        """Positions of a rank's images in the batch, those of the first micro-batch first, int64 `[per_rank]`."""
        mine = _part(self.batch, self.group, self.processes, rank)
        parts = [_part(self.per_rank, self.group, self.micro_batches, number) for number in range(self.micro_batches)]
        return mine[torch.cat(parts)]

    def micro_batch_slices(self) -> list[slice]:
        """Of each micro-batch, where its images lie among the rank's images."""
        size = self.micro_batch_size
        return [slice(number * size, (number + 1) * size) for number in range(self.micro_batches)]


def _part(images: int, group: int, parts: int, number: int) -> Tensor:
    """One of `parts` equal parts, in whole groups. The g members of a group are images / g positions apart, as in
    `append_minibatch_std`.
    """
    return torch.arange(images).view(group, parts, -1)[:, number].flatten()


def norm_group(recipe: Recipe) -> int:
    """Images that batch norm takes together in heads on frozen features; 1 without them."""
    has_heads = recipe.model.discriminator == "features" or recipe.loss.features
    return deviation_group(recipe.train.batch, NORM_GROUP) if has_heads else 1


def _group(recipe: Recipe) -> int:
    """Images that D compares: groups of the minibatch standard deviation, and of batch norm in heads on features."""
    without = recipe.model.discriminator in ("patch", "features")
    deviation = 1 if without else deviation_group(recipe.train.batch, recipe.model.std_group)
    return math.lcm(deviation, norm_group(recipe))


def _source_of_group(recipe: Recipe, group: int) -> str:
    """What makes the groups, in words."""
    return "batch norm of the heads on features" if norm_group(recipe) == group else "model.std_group"


def split_batch(recipe: Recipe, processes: int) -> BatchSplit:
    """Split a recipe's batch over `processes` ranks, in micro-batches of at most `run.micro_batch` images.

    Raises:
        RecipeError: the batch cannot be split over this number of processes without splitting a group.
    """
    batch, largest = recipe.train.batch, recipe.run.micro_batch
    group = _group(recipe)
    groups = batch // group
    if groups % processes:
        counts = [str(count) for count in range(1, groups + 1) if groups % count == 0]
        together = f" in groups of {group} ({_source_of_group(recipe, group)})" if group > 1 else ""
        raise RecipeError(
            "the recipe",
            [f"train.batch: {batch} images{together} cannot be split over {processes} processes"],
            f"Start {' or '.join(counts)} processes, or choose another train.batch.",
        )
    per_rank = batch // processes
    largest = min(largest or per_rank, per_rank)
    if largest < group:
        compared = f"groups of {group} images ({_source_of_group(recipe, group)})"
        smaller = f", or train with model.std_group={largest} from the start" if largest >= norm_group(recipe) else ""
        raise RecipeError(
            "the recipe",
            [f"run.micro_batch: {largest}, but D compares {compared}"],
            f"Set run.micro_batch={group} or more{smaller}.",
        )
    micro_batches = next(
        count for count in range(1, per_rank + 1) if per_rank % (count * group) == 0 and per_rank // count <= largest
    )
    whole = [
        f"{section}.{key}: {getattr(getattr(recipe, section), key)} {reason}, which cannot be split"
        for section, key, applies, reason in _NEED_THE_WHOLE_BATCH
        if applies(recipe)
    ]
    if micro_batches * processes > 1 and whole:
        raise RecipeError("the recipe", whole, "Train in one process, without run.micro_batch.")
    return BatchSplit(batch, group, processes, micro_batches)

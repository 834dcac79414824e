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


def _group(recipe: Recipe) -> int:
    """Images that D compares: groups of the minibatch standard deviation, and of batch norm in heads on features."""
    batch, kind = recipe.train.batch, recipe.model.discriminator
    deviation = 1 if kind in ("patch", "features") else deviation_group(batch, recipe.model.std_group)
    norm = deviation_group(batch, NORM_GROUP) if kind == "features" or recipe.loss.features else 1
    return math.lcm(deviation, norm)


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
        together = f" in groups of {group} (model.std_group)" if group > 1 else ""
        raise RecipeError(
            "the recipe",
            [f"train.batch: {batch} images{together} cannot be split over {processes} processes"],
            f"Start {' or '.join(counts)} processes, or choose another train.batch.",
        )
    per_rank = batch // processes
    largest = min(largest or per_rank, per_rank)
    if largest < group:
        raise RecipeError(
            "the recipe",
            [f"run.micro_batch: {largest}, but D compares groups of {group} images (model.std_group)"],
            f"Set run.micro_batch={group} or more, or train with model.std_group={largest} from the start.",
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

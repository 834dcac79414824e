"""Which images of a step's batch a process works on, and in which of its passes.

The batch is the recipe's whatever the machine: processes share it, and a process may take its share in several passes
whose gradients are summed. Images that D judges together (a group of the minibatch deviation) are never parted, so the
losses are those of one process that takes the whole batch at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.errors import RecipeError
from swincli.model.blocks.style import STYLES
from swincli.model.discriminators.head import deviation_group
from swincli.recipe import Recipe


@dataclass(frozen=True)
class BatchSplit:
    """A batch, dealt out.

    Attributes:
        batch: Images of a step, over all processes.
        group: Images that stay together.
        processes: How many share the batch.
        passes: In how many parts a process takes its share.
    """

    batch: int
    group: int = 1
    processes: int = 1
    passes: int = 1

    @property
    def share(self) -> int:
        """Images of one process."""
        return self.batch // self.processes

    @property
    def micro_batch_size(self) -> int:
        """Images of one forward."""
        return self.share // self.passes

    def rank_indices(self, rank: int) -> Tensor:
        """Positions in the batch of a process's images, int64 `[share]`."""
        return _part(self.batch, self.group, self.processes, rank)

    def micro_batch_indices(self, number: int) -> Tensor:
        """Positions in a process's share of a pass's images, int64 `[micro_batch_size]`."""
        return _part(self.share, self.group, self.passes, number)


def _part(images: int, group: int, parts: int, number: int) -> Tensor:
    """One of equal parts of whole groups; the g members of a group lie images / g apart (`append_minibatch_std`)."""
    return torch.arange(images).view(group, parts, -1)[:, number].flatten()


def split_batch(recipe: Recipe, processes: int) -> BatchSplit:
    """Deal out a recipe's batch; a pass takes at most `run.micro_batch` images.

    Raises:
        RecipeError: the batch cannot be shared by so many processes, or not without parting what belongs together.
    """
    batch, largest = recipe.train.batch, recipe.run.micro_batch
    parted = recipe.model.discriminator != "patch"  # which has no minibatch deviation
    group = deviation_group(batch, recipe.model.std_group) if parted else 1
    groups = batch // group
    if groups % processes:
        counts = [str(count) for count in range(1, groups + 1) if groups % count == 0]
        together = f" in groups of {group} (model.std_group)" if group > 1 else ""
        raise RecipeError(
            "the recipe",
            [f"train.batch: {batch} images{together} cannot be shared by {processes} processes"],
            f"Start {' or '.join(counts)} processes, or choose another train.batch.",
        )
    share = batch // processes
    largest = min(largest or share, share)
    if largest < group:
        raise RecipeError(
            "the recipe",
            [f"run.micro_batch: {largest}, and D judges groups of {group} images together (model.std_group)"],
            f"Set run.micro_batch={group} or more, or train with a model.std_group of {largest} from the start.",
        )
    passes = next(count for count in range(1, share + 1) if share % (count * group) == 0 and share // count <= largest)
    if passes * processes > 1 and STYLES[recipe.model.style].whole_batch:
        raise RecipeError(
            "the recipe",
            [f"model.style: {recipe.model.style} takes its statistics over the whole batch, which cannot be shared"],
            "Train it in one process, without run.micro_batch.",
        )
    return BatchSplit(batch, group, processes, passes)

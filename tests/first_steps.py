"""Single training steps without the loop, for tests of phases and losses."""

from __future__ import annotations

import torch

from swincli.data.store.reader import Store
from swincli.training.run.state import TrainingState
from swincli.training.step.batch_shards import split_batch
from swincli.training.step.batches import next_passes
from swincli.training.step.losses import Batch


def passes_of_next_step(state: TrainingState, store: Store) -> list[Batch]:
    """What the next step of a run of one process on the CPU works on."""
    recipe = state.recipe
    return next_passes(recipe, store, state.images_seen, split_batch(recipe, 1), 0, torch.device("cpu"))

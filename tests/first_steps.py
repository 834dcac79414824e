"""Steps of a run without its loop, for tests of phases and losses."""

from __future__ import annotations

import torch

from swincli.data.store import Store
from swincli.training.batches import next_passes
from swincli.training.losses import Batch
from swincli.training.sharing import share_batch
from swincli.training.state import TrainingState


def passes_of_next_step(state: TrainingState, store: Store) -> list[Batch]:
    """What the next step of a run of one process on the CPU works on."""
    recipe = state.recipe
    return next_passes(recipe, store, state.images_seen, share_batch(recipe, 1), 0, torch.device("cpu"))

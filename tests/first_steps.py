"""Steps of a run without its loop, for tests of phases and losses; and the smallest networks there are."""

from __future__ import annotations

import torch

from swincli.data.store.reader import Store
from swincli.training.losses.batch import Batch
from swincli.training.run.state import TrainingState
from swincli.training.step.batch_shards import split_batch
from swincli.training.step.batches import next_micro_batches

SMALLEST_MODEL = """
[model]
size = 16
latent_dim = 8
mapping_layers = 1
g_width = 8
d_width = 4
"""


def next_step_micro_batches(state: TrainingState, store: Store) -> list[Batch]:
    """What the next step of a run of one process on the CPU works on."""
    recipe = state.recipe
    return next_micro_batches(recipe, store, state.images_seen, split_batch(recipe, 1), 0, torch.device("cpu"))

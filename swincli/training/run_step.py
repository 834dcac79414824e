"""One training step: learning rates, the phases that are due, the EMAs, and what losses remember."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from swincli.system.distributed import Processes
from swincli.training.ema.ema import update_emas
from swincli.training.losses.batch import Batch
from swincli.training.losses.memory import Step
from swincli.training.losses.remembered import noted_features, update_memory
from swincli.training.run.state import TrainingState
from swincli.training.schedules import adam_beta2, lr_scale
from swincli.training.step.batch_shards import BatchSplit
from swincli.training.step.optimizers import lazy_intervals, set_rates
from swincli.training.step.phases import Phase


def run_all(phases: list[Phase], micro_batches: list[Batch]) -> None:
    """Run every phase once, due or not."""
    for phase in phases:
        phase.run(micro_batches)


def run_step(
    state: TrainingState, phases: list[Phase], micro_batches: list[Batch]
) -> tuple[dict[str, float], dict[str, str]]:
    """One training step: set the learning rates, run the phases that are due, update the EMAs.

    Returns:
        The scalars to report, in the order in which they were computed, and the name of the phase of each.
    """
    train, number = state.recipe.train, state.images_seen // state.recipe.train.batch
    scale = lr_scale(state.images_seen, train)
    beta2 = None if train.beta2_end is None else adam_beta2(state.images_seen, train)
    for optimizer, interval in zip((state.g_optimizer, state.d_optimizer), lazy_intervals(state.recipe), strict=True):
        set_rates(optimizer, scale, beta2, interval)
    scalars: dict[str, torch.Tensor] = {}
    phase_of: dict[str, str] = {}
    for phase in phases:
        if number % phase.interval == 0:
            reported = phase.run(micro_batches)
            scalars |= reported
            phase_of |= dict.fromkeys(reported, phase.name)
    state.images_seen += train.batch
    update_emas(state)
    values = torch.stack([value.detach().float() for value in scalars.values()]).tolist()
    return dict(zip(scalars, values, strict=True)), phase_of


def remember(state: TrainingState, split: BatchSplit, means: Mapping[str, float], processes: Processes) -> None:
    """After a step, change what losses remember: from the means over ranks, and from features of the whole batch."""
    if not state.memory.values:
        return
    noted, batch = noted_features(state.memory), state.recipe.train.batch
    features = {name: split.whole_batch(processes.all_gather(part)) for name, part in noted.items()}
    update_memory(state.memory, Step(state.recipe, state.images_seen - batch, means, features))

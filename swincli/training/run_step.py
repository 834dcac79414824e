"""One training step: learning rates, the phases that are due, the EMAs, and what losses remember."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from swincli.system.device_copy import HostCopy
from swincli.training.ema.ema import update_emas
from swincli.training.losses.batch import Batch
from swincli.training.losses.memory import Step
from swincli.training.losses.remembered import noted_features, update_memory
from swincli.training.run.state import TrainingState
from swincli.training.schedules import adam_beta2, is_due, lr_scale
from swincli.training.step.optimizers import lazy_intervals, set_rates
from swincli.training.step.phases import Phase


@dataclass
class StepScalars:
    """What a step reports. A device may still be computing it: only `get` waits.

    Attributes:
        images_seen: Images shown so far, those of the step included.
        names: Names of the scalars, in the order in which they were computed.
        phase_of: Name of the phase of each scalar.
        on_host: Scalars that the host has computed.
        computed: The other ones, `[N]`.
    """

    images_seen: int
    names: list[str]
    phase_of: dict[str, str]
    on_host: dict[str, float]
    computed: HostCopy
    _values: dict[str, float] | None = field(default=None, repr=False)

    def get(self) -> dict[str, float]:
        """The scalars by name; waits for the device."""
        if self._values is None:
            others = iter(self.computed.get().tolist())
            self._values = {name: self.on_host[name] if name in self.on_host else next(others) for name in self.names}
        return self._values

    def note(self, scalars: Mapping[str, float]) -> None:
        """Add scalars that were measured after the step."""
        self.on_host.update(scalars)
        self.names.extend(scalars)


def run_all(phases: list[Phase], micro_batches: list[Batch]) -> None:
    """Run every phase once, due or not."""
    for phase in phases:
        phase.run(micro_batches)


def run_step(state: TrainingState, phases: Sequence[Phase], micro_batches: list[Batch]) -> StepScalars:
    """One training step: set the learning rates, run the phases that are due, update the EMAs.

    Nothing in it waits for the device. What losses remember of features is changed in it. What they remember of scalars
    needs `remember`.
    """
    train = state.recipe.train
    scale = lr_scale(state.images_seen, train)
    beta2 = None if train.beta2_end is None else adam_beta2(state.images_seen, train)
    for optimizer, interval in zip((state.g_optimizer, state.d_optimizer), lazy_intervals(state.recipe), strict=True):
        set_rates(optimizer, scale, beta2, interval)
    scalars: dict[str, Tensor] = {}
    phase_of: dict[str, str] = {}
    for phase in phases:
        if is_due(state.images_seen, train.batch, phase.interval):
            reported = phase.run(micro_batches)
            scalars |= reported
            phase_of |= dict.fromkeys(reported, phase.name)
    if features := noted_features(state.memory):
        update_memory(state.memory, Step(state.recipe, state.images_seen, {}, features))
    state.images_seen += train.batch
    update_emas(state)
    return _start_reading(scalars, phase_of, state.images_seen)


def _start_reading(scalars: dict[str, Tensor], phase_of: dict[str, str], images_seen: int) -> StepScalars:
    """Scalars of the host are there; the device's go to it together."""
    device = next(reversed(scalars.values())).device  # of the last phase's gradient norm
    there = [value.detach().float() for value in scalars.values() if value.device == device]
    on_host = {name: float(value.float()) for name, value in scalars.items() if value.device != device}
    return StepScalars(images_seen, list(scalars), phase_of, on_host, HostCopy(torch.stack(there)))


def remember(state: TrainingState, images_seen: int, means: Mapping[str, float]) -> None:
    """Change what losses remember of the scalars of the step that ended at `images_seen`, from the means over ranks."""
    if state.memory.values:
        update_memory(state.memory, Step(state.recipe, images_seen - state.recipe.train.batch, means, {}))

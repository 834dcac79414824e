"""What is done with a step's scalars: the mean over ranks, what losses remember, the check for NaN, the report.

On CUDA the host has a step's scalars only when the device has computed them. There the host first queues the next step
and reads them then: at any time the device has work.
"""

from __future__ import annotations

import time

import torch

from swincli.system.distributed import Processes
from swincli.training.logging.report import Report
from swincli.training.losses.remembered import reads_last_step
from swincli.training.run.finite_checks import check_finite
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState
from swincli.training.run_step import StepScalars, remember


def reads_late(device: torch.device) -> bool:
    """Whether a step's scalars are read after the next step has been queued. Elsewhere that would gain nothing."""
    return device.type == "cuda"


class StepReports:
    """Settles the steps of a run in their order, each exactly once, on all ranks at the same places.

    Args:
        state: The state, whose memory and statistics the steps change.
        folder: The run.
        report: Rank 0's report; None on the other ranks.
        processes: The ranks that share the batch.
        late: Settle a step when the next one has been queued, unless something needs it earlier.
    """

    def __init__(
        self, state: TrainingState, folder: RunFolder, report: Report | None, processes: Processes, *, late: bool
    ) -> None:
        self._state, self._folder, self._report, self._processes = state, folder, report, processes
        self._late = late
        self._queued: tuple[StepScalars, float] | None = None
        self._settled_at = 0.0

    def queue(self, step: StepScalars, started: float) -> None:
        """Take over the step that has just been queued; the one before it is settled.

        Args:
            step: The step.
            started: When it began, by `time.monotonic`.

        Raises:
            TrainingError: a scalar of the one before is not finite.
        """
        self.settle()
        self._queued = step, started
        if not self._late:
            step.get()

    @property
    def is_due(self) -> bool:
        """Whether the step that is queued must be settled before the next one."""
        state = self._state
        return not self._late or reads_last_step(state.memory, state.recipe, state.images_seen)

    def settle(self) -> None:
        """Settle the step that is queued, if there is one.

        Raises:
            TrainingError: one of its scalars is not finite.
        """
        if self._queued is None:
            return
        (step, started), self._queued = self._queued, None
        means = self._processes.mean(step.get())
        remember(self._state, step.images_seen, means)
        check_finite(means, step.phase_of, step.images_seen, self._folder, self._processes)
        now = time.monotonic()
        seconds, self._settled_at = now - max(started, self._settled_at), now
        if self._report:
            self._folder.check_exists()
            self._report.step(self._state, means, seconds, step.images_seen)

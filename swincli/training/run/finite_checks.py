"""Stops a run whose losses, gradients or weights are no longer finite, before they reach a saved state."""

from __future__ import annotations

import math

from swincli.errors import PeerFailedError, TrainingError
from swincli.system.distributed import Processes
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState, has_finite_weights


def check_finite(
    scalars: dict[str, float],
    phase_of: dict[str, str],
    images_seen: int,
    folder: RunFolder,
    processes: Processes | None = None,
) -> None:
    """Stop at the first loss or gradient norm that is not finite; it is not in any saved state yet.

    The error names the phase of the first one. The others are only consequences. Logits at held-out images are D's.

    Raises:
        TrainingError: a scalar is not finite.
        PeerFailedError: the same, on all ranks but 0.
    """
    broken = [name for name, value in scalars.items() if not math.isfinite(value)]
    if broken:
        raise not_finite(f"phase {phase_of.get(broken[0], 'D')}: {', '.join(broken)}", images_seen, folder, processes)


def check_weights(state: TrainingState, folder: RunFolder, processes: Processes | None = None) -> None:
    """Stop if a step with finite gradients has made weights that are not; called before a save.

    Raises:
        TrainingError: a weight of G or D is not finite.
        PeerFailedError: the same, on all ranks but 0, which have the same weights.
    """
    networks = {"G": state.generator, "D": state.discriminator}
    if broken := [name for name, network in networks.items() if not has_finite_weights(network)]:
        raise not_finite(f"the weights of {' and '.join(broken)}", state.images_seen, folder, processes)


def not_finite(
    what: str, images_seen: int, folder: RunFolder, processes: Processes | None
) -> TrainingError | PeerFailedError:
    """The error of training that has broken down; for rank 0 with the last good state."""
    if processes is not None and not processes.is_main:
        return PeerFailedError(f"process {processes.rank}: {what} not finite")
    states = folder.states()
    return TrainingError(
        f"{what} not finite after {images_seen:,} images",
        f"The last good state is {states[0] if states else 'none'}. The same command would fail in the same way. "
        "Start a new run with lower train.d_lr and train.g_lr, or a higher loss.r1_gamma.",
    )

"""The training state of several ranks: equal at the start of a session, and as it was after the smoke test."""

from __future__ import annotations

import zlib
from typing import Any

import torch

from swincli.system.broadcast import broadcast
from swincli.system.device_copy import map_tensors
from swincli.system.distributed import Processes
from swincli.training.run.state import TrainingState, restore, state_content


def share_state(state: TrainingState, device: torch.device, processes: Processes, *, fresh: bool) -> None:
    """Give every rank the main process's state.

    A fresh state is a function of the seed, so every rank has built it already. It is sent only if the ranks' weights
    differ: processors of different kinds may round random numbers differently.

    Args:
        state: The state of this rank.
        device: Device of its networks.
        processes: The ranks.
        fresh: The main process has changed nothing since the state was built.
    """
    if processes.world_size == 1 or (fresh and len(set(processes.all_gather(weights_checksum(state)))) == 1):
        return
    content = broadcast(state_content(state) if processes.is_main else None, device, processes)
    if not processes.is_main:
        restore(state, content)


def weights_checksum(state: TrainingState) -> int:
    """CRC-32 of the weights and buffers of G and D."""
    checksum = 0
    for network in (state.generator, state.discriminator):
        for value in network.state_dict().values():
            checksum = zlib.crc32(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy(), checksum)
    return checksum


def copy_in_memory(state: TrainingState) -> dict[str, Any]:
    """The state's content with tensors of its own on the CPU, for `restore`."""
    content: dict[str, Any] = map_tensors(state_content(state), lambda value: value.detach().to("cpu", copy=True))
    return content

"""Several processes on one task, started by torchrun: who this one is, and how they agree.

One of them leads: it alone writes files and speaks.
Small things are agreed on over gloo, on the CPU; gradients travel by whatever the device has (NCCL on CUDA).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from swincli.errors import LeaderFailedError, ResourceError, UsageError
from swincli.launch import in_company, local_rank

PATIENCE = timedelta(hours=6)  # how long one waits for the others: the leader measures while they do

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those that share a task.

    Attributes:
        rank: Its number, from 0.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def leader(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0

    def from_leader(self, work: Callable[[], T]) -> T:
        """What `work` returns in the leading process, in all of them; plain values and CPU tensors.

        Raises:
            LeaderFailedError: in the others, where it raised; in the leading process it raises what it raised.
        """
        if self.world == 1:
            return work()
        box: list[Any] = [None, False]  # the value, and whether there is one
        error: BaseException | None = None
        if self.leader:
            try:
                box = [work(), True]
            except BaseException as caught:
                error = caught
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        if error is not None:
            raise error
        if not box[1]:
            raise LeaderFailedError(f"process {self.rank}: the leading process could not go on")
        value: T = box[0]
        return value

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean over all processes of numbers that each of them has under the same names."""
        if self.world == 1:
            return dict(values)
        sums = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(sums)
        return dict(zip(values, (sums / self.world).tolist(), strict=True))

    def anyone(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return flag if self.world == 1 else self.mean({"flag": float(flag)})["flag"] > 0


def explain_lost_company(error: RuntimeError | MemoryError, processes: Processes) -> None:
    """Raise an error of our own where another process has gone; what it died of, it has said itself.

    Raises:
        ResourceError: `error` says that another process can no longer be reached.
    """
    signs = ("connection closed", "connection reset", "broken pipe", "timed out", "nccl")
    if processes.world > 1 and any(sign in str(error).lower() for sign in signs):
        raise ResourceError(
            f"process {processes.rank}: another process has stopped",
            "Its own message says why. The same command goes on from the last state.",
        ) from error


def local_device(name: str) -> str:
    """The device of this process: `name`, or for CUDA the GPU of its number on this machine.

    Raises:
        UsageError: processes on one machine would share a device that cannot be shared.
        ResourceError: there are more processes on this machine than GPUs.
    """
    local = local_rank()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "mps":
        raise UsageError("--device mps: several processes cannot share it", "Start swincli without torchrun.")
    if name != "cuda":
        return name
    if local >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ResourceError(
            f"process {local} of this machine has no GPU: there are {found}", f"Give torchrun --nproc-per-node {found}."
        )
    return f"cuda:{local}"


@contextmanager
def join_processes(device: torch.device) -> Iterator[Processes]:
    """Meet the other processes for the time of the block; alone where torchrun has not started any.

    Args:
        device: Where the networks of this process are.

    Raises:
        ResourceError: they cannot be reached.
    """
    if not in_company():
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise ResourceError(
            f"the other processes cannot be reached: {error}", "Start all of them with torchrun, on a free port."
        ) from error
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()

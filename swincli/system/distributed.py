"""Distributed processes started by torchrun: rank and world size, collectives, and errors that every rank learns of.

Rank 0 is the main process: it alone writes files and prints. Objects and CPU tensors go over gloo, gradients over the
device's own backend (NCCL on CUDA).
"""

from __future__ import annotations

import itertools
import os
import platform
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist

from swincli.console import Advance
from swincli.errors import PeerFailedError, ResourceError, SwincliError, UsageError, from_os_error
from swincli.system.process_limits import explain_limit
from swincli.system.torchrun_env import is_distributed, local_rank, restart_count

TIMEOUT = timedelta(minutes=30)  # of joining, and of a collective, so that a hanging one does not hold GPUs for long
PATIENCE = timedelta(hours=6)  # of waiting for what the main process does alone, and for the end of shared work
GROUP_SIZE = 64  # items that stay on one rank unless the caller gives another size

UNEXPLAINED = ("the shared work failed, and no process says why", "Run it again with --debug, or in one process.")

_LOST_PEER = (  # in the words of gloo, TCP and NCCL
    *("connection closed", "connection reset", "connection refused", "broken pipe", "timed out"),
    *("ncclremoteerror", "remote process exited"),
)

T = TypeVar("T")


class Store(Protocol):
    """The methods of `torch.distributed.Store` used here: texts and counters that all ranks read and write."""

    def add(self, key: str, value: int, /) -> int: ...  # returns the new sum
    def set(self, key: str, value: str, /) -> None: ...
    def check(self, keys: list[str], /) -> bool: ...


def _no_progress(count: int = 1) -> None:
    pass


@dataclass(frozen=True)
class Processes:
    """This process and the collectives it takes part in.

    Attributes:
        rank: Number of this process, from 0.
        world_size: Number of processes.
        store: Key-value store of all ranks, for progress and failures during shared work; None for one process.
        patient: Group of all ranks whose collectives wait for `PATIENCE`; None for the default group.
    """

    rank: int = 0
    world_size: int = 1
    store: Store | None = field(default=None, repr=False, compare=False)
    patient: Any = field(default=None, repr=False, compare=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False, compare=False)

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, the process that writes files and prints."""
        return self.rank == 0

    def shard(self, count: int, group_size: int | None = None) -> range:
        """This rank's part of `count` items: a range of whole groups, in rank order.

        If the batch size divides the group size, the batches are the same for any number of processes, and so is
        rounding.

        Args:
            count: Items of all ranks.
            group_size: Items that stay together; `GROUP_SIZE` by default, which the batch sizes chosen here divide.
        """
        size = group_size or GROUP_SIZE
        groups = -(-count // size)
        first, end = (size * (groups * rank // self.world_size) for rank in (self.rank, self.rank + 1))
        return range(min(first, count), min(end, count))

    def from_main(self, work: Callable[[], T]) -> T:
        """Run `work` in the main process and return its result on every rank (plain values and CPU tensors).

        The others wait for `PATIENCE`, so work that only the main process does and that takes long belongs here.

        Raises:
            PeerFailedError: on the other ranks, if `work` raised. The main process raises the error itself.
        """
        if self.world_size == 1:
            return work()
        box: list[Any] = [None, False]  # the result, and whether there is one
        error: BaseException | None = None
        if self.is_main:
            try:
                box = [work(), True]
            except BaseException as caught:
                error = caught
        dist.broadcast_object_list(box, src=0, group=self.patient, device=torch.device("cpu"))
        if error is not None:
            raise error
        if not box[1]:
            raise PeerFailedError(f"rank {self.rank}: the main process failed")
        value: T = box[0]
        return value

    def main_first(self, work: Callable[[], T]) -> T:
        """Run `work` on every rank, in the main process first; returns this rank's result.

        So a failure is reported once, and downloads are done before the other ranks start.

        Raises:
            SwincliError: see `run_on_all`.
        """
        done: list[T] = []
        self.from_main(lambda: done.append(work()))
        return self.run_on_all(lambda _: done[0] if done else work())

    def run_on_all(self, work: Callable[[Advance], T], advance: Advance = _no_progress) -> T:
        """Run `work` on every rank, wait for all, and return this rank's result.

        Args:
            work: Gets a function that it calls with the number of further items done. That call raises
                PeerFailedError if another rank has failed.
            advance: Called with the number of further items done on all ranks.

        Raises:
            SwincliError: in the main process: the error of whichever rank failed.
            PeerFailedError: on the other ranks, if any rank failed.
        """
        if self.store is None:
            return work(advance)
        progress = _SharedProgress(self.store, str(next(self._numbers)), self.rank, advance)
        value: Any = None
        error: Exception | None = None
        try:
            value = work(progress.advance)
        except Exception as caught:
            error = caught
            progress.report_failure()
        failures = [failure for failure in self.all_gather(_failure(error, self.rank)) if failure is not None]
        if not failures:
            progress.catch_up()
            return value  # type: ignore[no-any-return]
        if self.is_main and error is not None and not isinstance(error, PeerFailedError):
            raise error
        if self.is_main:
            raise SwincliError(*next(filter(any, failures), UNEXPLAINED)) from error  # the first with a message
        raise PeerFailedError(f"rank {self.rank}: the shared work failed") from error

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in rank order, in the main process; an empty list on the other ranks."""
        if self.world_size == 1:
            return [value]
        values: list[Any] | None = [None] * self.world_size if self.is_main else None
        dist.gather_object(value, values, group=self.patient)
        return values or []

    def all_gather(self, value: T) -> list[T]:
        """The values of all ranks, in rank order, on every rank; for small values."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self.patient)
        return values

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Mean of each number over all ranks. Every rank passes the same names in the same order."""
        if self.world_size == 1:
            return dict(values)
        sums = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(sums)
        return dict(zip(values, (sums / self.world_size).tolist(), strict=True))

    def any_rank(self, flag: bool) -> bool:
        """Whether `flag` is true on any rank."""
        return flag if self.world_size == 1 else self.mean({"flag": float(flag)})["flag"] > 0


class _SharedProgress:
    """Progress and failure of one shared piece of work, kept in the store where every rank sees them."""

    def __init__(self, store: Store, name: str, rank: int, advance: Advance) -> None:
        self._store, self._rank, self._advance = store, rank, advance
        self._done, self._failed = f"{name}/done", f"{name}/failed"
        self._reported = 0

    def advance(self, count: int = 1) -> None:
        """Add `count` items to the number done.

        Raises:
            PeerFailedError: another rank has failed.
        """
        self._report(self._store.add(self._done, count))
        if self._store.check([self._failed]):
            raise PeerFailedError(f"rank {self._rank}: another rank has failed")

    def catch_up(self) -> None:
        """Report the items that other ranks have done since the last call."""
        self._report(self._store.add(self._done, 0))

    def report_failure(self) -> None:
        """Make the other ranks stop at their next `advance`."""
        self._store.set(self._failed, "1")

    def _report(self, done: int) -> None:
        if done > self._reported:
            self._advance(done - self._reported)
            self._reported = done


def _failure(error: Exception | None, rank: int) -> tuple[str, str | None] | None:
    """Message and hint for rank 0 to print; an empty message if another rank caused this error, None without one."""
    if error is None:
        return None
    if isinstance(error, PeerFailedError):
        return "", None
    if isinstance(error, OSError):
        error = from_os_error(error, str(error.filename or f"rank {rank}"))
    error = explain_limit(error) or error
    if isinstance(error, SwincliError):
        return error.message, error.hint
    return f"rank {rank}: {type(error).__name__}: {error}", None


def explain_lost_peer(error: RuntimeError | MemoryError, processes: Processes) -> None:
    """Raise a clear error if another rank has gone, which prints its own reason, or if NCCL fails.

    Raises:
        ResourceError: `error` says that another rank is unreachable, or that NCCL fails; with the original words.
    """
    text = str(error).lower()
    if processes.world_size == 1:
        return
    if any(sign in text for sign in _LOST_PEER):
        hint = "Its own message says why. Then run the same command again."
        raise ResourceError(
            f"rank {processes.rank}: another process has stopped: {_reason(error)}",
            hint + own_name_hint() if _several_machines() else hint,
        ) from error
    if "nccl" in text:
        raise ResourceError(
            f"rank {processes.rank}: {_reason(error)}",
            "Check NCCL_SOCKET_IFNAME, the container's shared memory, and that every process has its own GPU. "
            "NCCL_DEBUG=INFO prints more.",
        ) from error


def own_name_hint() -> str:
    """A hint for several machines if this machine's own name is an address that only it can reach; else empty.

    Debian writes the name as 127.0.1.1 into /etc/hosts. torchrun tells the other machines that name.
    """
    name = platform.node()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        return (
            f" This machine cannot resolve its own name, {name}: with several machines, give torchrun --local-addr and "
            "the address of this machine."
        )
    if not address.startswith("127."):
        return ""
    return (
        f" This machine's own name, {name}, means {address} here, which other machines cannot reach: with several "
        "machines, give torchrun --local-addr and the address of this machine, and set GLOO_SOCKET_IFNAME."
    )


def _several_machines() -> bool:
    """Whether torchrun has started processes on other machines too."""
    return os.environ.get("LOCAL_WORLD_SIZE", "1") != os.environ.get("WORLD_SIZE", "1")


def _reason(error: BaseException) -> str:
    """The first line of an error, and what NCCL adds as its last error, several lines below."""
    first, *others = str(error).strip().splitlines()
    _, _, last = "\n".join(others).partition("Last error:")
    return " ".join([first, *last.split()])


def local_device(name: str) -> str:
    """The device name for this process: under torchrun "cuda" becomes the GPU of the local rank, such as "cuda:1".

    Raises:
        UsageError: several processes would share a device that cannot be shared.
        ResourceError: this machine has more processes than GPUs.
    """
    if not is_distributed():
        return name
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
            f"local rank {local} has no GPU: this machine has {found}", f"Give torchrun --nproc-per-node {found}."
        )
    return f"cuda:{local}"


def _store_of_this_attempt(store: Any, rank: int, world_size: int) -> Any:
    """The store under a prefix that all ranks agree on and no earlier attempt has used.

    torchrun starts failed processes again with the store of the attempt before. Its failures, progress and addresses
    must not count for this one. Rank 0 makes the prefix and gives it to every rank that says hello. A hello may be left
    over too, so it goes on until all have joined. torchrun's own count of restarts differs between machines.
    """
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # missing in builds without it

    own = f"{restart_count()}-{uuid.uuid4().hex}"
    if rank:
        store.set(f"swincli/hello/{rank}", own)
        name = store.get(f"swincli/answer/{own}").decode()  # waits for it
        store.add(f"swincli/{name}/joined", 1)
        return PrefixStore(f"swincli/{name}", store)
    end = time.monotonic() + TIMEOUT.total_seconds()
    while store.add(f"swincli/{own}/joined", 0) < world_size - 1:
        for hello in (f"swincli/hello/{other}" for other in range(1, world_size)):
            if store.check([hello]):
                store.set(f"swincli/answer/{store.get(hello).decode()}", own)
        if time.monotonic() > end:
            raise RuntimeError(f"not all of the {world_size} processes have started within {TIMEOUT}")
        time.sleep(0.05)
    return PrefixStore(f"swincli/{own}", store)


@contextmanager
def init_distributed(device: torch.device) -> Iterator[Processes]:
    """Join the process group for the duration of the block; without torchrun, yield a single process.

    Args:
        device: Device of this process's networks; it decides the backends.

    Raises:
        ResourceError: the other processes cannot be reached, or one was lost during the block.
    """
    if not is_distributed():
        yield Processes()
        return
    from torch.distributed.rendezvous import rendezvous  # missing in builds without torch.distributed

    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, rank, world_size = next(rendezvous("env://", timeout=TIMEOUT))
        store.set_timeout(TIMEOUT)
        store = _store_of_this_attempt(store, rank, world_size)
        backends = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backends, store=store, rank=rank, world_size=world_size, timeout=TIMEOUT)
        patient = dist.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        hint = "Start all of them with torchrun, on a free port."
        raise ResourceError(f"the other processes cannot be reached: {error}", f"{hint}{own_name_hint()}") from error
    processes = Processes(rank, world_size, store, patient)
    try:
        yield processes
    except (RuntimeError, MemoryError) as error:
        explain_lost_peer(error, processes)
        raise
    finally:
        dist.destroy_process_group()

"""Several processes on one task, started by torchrun: who this one is, and how they agree.

One of them leads: it alone writes files and speaks.
Small things are agreed on over gloo, on the CPU; gradients travel by whatever the device has (NCCL on CUDA).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist

from swincli.console import Advance
from swincli.errors import PeerFailedError, ResourceError, SwincliError, UsageError, from_os_error
from swincli.system.torchrun_env import is_distributed, local_rank

TIMEOUT = timedelta(hours=6)  # how long one waits for the others: the leader computes metrics while they do
TOGETHER = 64  # items that are never parted, where nobody says how many

T = TypeVar("T")


class Store(Protocol):
    """What of a `torch.distributed.Store` is used here: texts and counters that all processes read and write."""

    def add(self, key: str, value: int, /) -> int: ...  # and how much it is now
    def set(self, key: str, value: str, /) -> None: ...
    def check(self, keys: list[str], /) -> bool: ...


def _unheard(count: int = 1) -> None:
    pass


@dataclass(frozen=True)
class Processes:
    """This process among those that share a task.

    Attributes:
        rank: Its number, from 0.
        world: How many there are.
        store: Where they leave notes for each other while they work; None where there is only one.
    """

    rank: int = 0
    world: int = 1
    store: Store | None = field(default=None, repr=False, compare=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False, compare=False)

    @property
    def is_main(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0

    def share(self, count: int, together: int | None = None) -> range:
        """Which of `count` items are this process's: in whole groups, those of rank 0 first.

        Work that goes through its items in batches, of a size that divides that of the groups, then has the same
        batches whatever the number of processes, and rounds alike.

        Args:
            count: Items of all processes.
            together: Items of a group; 64 by default, which batches chosen here divide.
        """
        size = together or TOGETHER
        groups = -(-count // size)
        first, end = (size * (groups * rank // self.world) for rank in (self.rank, self.rank + 1))
        return range(min(first, count), min(end, count))

    def from_main(self, work: Callable[[], T]) -> T:
        """What `work` returns in the leading process, in all of them; plain values and CPU tensors.

        Raises:
            PeerFailedError: in the others, where it raised; in the leading process it raises what it raised.
        """
        if self.world == 1:
            return work()
        box: list[Any] = [None, False]  # the value, and whether there is one
        error: BaseException | None = None
        if self.is_main:
            try:
                box = [work(), True]
            except BaseException as caught:
                error = caught
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        if error is not None:
            raise error
        if not box[1]:
            raise PeerFailedError(f"process {self.rank}: the leading process could not go on")
        value: T = box[0]
        return value

    def main_first(self, work: Callable[[], T]) -> T:
        """What `work` returns in this process; the leading one does it before the others.

        So what it cannot do is said once, and what it fetches is there for all.

        Raises:
            SwincliError: as `run_on_all` does.
        """
        done: list[T] = []
        self.from_main(lambda: done.append(work()))
        return self.run_on_all(lambda _: done[0] if done else work())

    def run_on_all(self, work: Callable[[Advance], T], advance: Advance = _unheard) -> T:
        """What `work` returns in this process, once all of them have come to the end of theirs.

        Args:
            work: Given a function to be told how many more items are done, which also ends it where another has failed.
            advance: Told how many more items are done in all of them.

        Raises:
            SwincliError: in the leading process, what went wrong, wherever it did.
            PeerFailedError: in the others, if it did anywhere.
        """
        if self.store is None:
            return work(advance)
        notes = _Notes(self.store, str(next(self._numbers)), self.rank, advance)
        value: Any = None
        error: Exception | None = None
        try:
            value = work(notes.advance)
        except Exception as caught:
            error = caught
            notes.fail()
        failures = [words for words in self.all_gather(_words(error, self.rank)) if words is not None]
        if not failures:
            notes.catch_up()
            return value  # type: ignore[no-any-return]
        if self.is_main and error is not None and not isinstance(error, PeerFailedError):
            raise error
        if self.is_main:
            raise SwincliError(*max(failures, key=any)) from error  # the first that has words
        raise PeerFailedError(f"process {self.rank}: the work could not be done") from error

    def gather(self, value: T) -> list[T]:
        """What each process has, by rank; empty in all but the leading one."""
        if self.world == 1:
            return [value]
        values: list[Any] | None = [None] * self.world if self.is_main else None
        dist.gather_object(value, values)
        return values or []

    def all_gather(self, value: T) -> list[T]:
        """What each process has, by rank, in all of them; for what is small."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean over all processes of numbers that each of them has under the same names."""
        if self.world == 1:
            return dict(values)
        sums = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(sums)
        return dict(zip(values, (sums / self.world).tolist(), strict=True))

    def any_rank(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return flag if self.world == 1 else self.mean({"flag": float(flag)})["flag"] > 0


class _Notes:
    """What processes let each other know during one piece of work: how far all of them are, and that one has failed."""

    def __init__(self, store: Store, name: str, rank: int, advance: Advance) -> None:
        self._store, self._rank, self._advance = store, rank, advance
        self._done, self._failed = f"swincli/{name}/done", f"swincli/{name}/failed"
        self._told = 0

    def advance(self, count: int = 1) -> None:
        """Note that so many more are done.

        Raises:
            PeerFailedError: another process has failed.
        """
        self._tell(self._store.add(self._done, count))
        if self._store.check([self._failed]):
            raise PeerFailedError(f"process {self._rank}: another one has failed")

    def catch_up(self) -> None:
        """Tell what the others have done since."""
        self._tell(self._store.add(self._done, 0))

    def fail(self) -> None:
        """Have the others end where they next advance."""
        self._store.set(self._failed, "1")

    def _tell(self, done: int) -> None:
        if done > self._told:
            self._advance(done - self._told)
            self._told = done


def _words(error: Exception | None, rank: int) -> tuple[str, str | None] | None:
    """Message and hint of an error, for the one that leads to say; no words of one that only follows from another."""
    if error is None:
        return None
    if isinstance(error, PeerFailedError):
        return "", None
    if isinstance(error, OSError):
        error = from_os_error(error, str(error.filename or f"process {rank}"))
    if isinstance(error, SwincliError):
        return error.message, error.hint
    return f"process {rank}: {type(error).__name__}: {error}", None


def explain_lost_peer(error: RuntimeError | MemoryError, processes: Processes) -> None:
    """Raise an error of our own where another process has gone; what it died of, it has said itself.

    Raises:
        ResourceError: `error` says that another process can no longer be reached.
    """
    signs = ("connection closed", "connection reset", "broken pipe", "timed out", "nccl")
    if processes.world > 1 and any(sign in str(error).lower() for sign in signs):
        raise ResourceError(
            f"process {processes.rank}: another process has stopped",
            "Its own message says why. Then give the same command again.",
        ) from error


def local_device(name: str) -> str:
    """The device of this process: `name`; among several processes, for CUDA the GPU of its number on this machine.

    Raises:
        UsageError: processes on one machine would share a device that cannot be shared.
        ResourceError: there are more processes on this machine than GPUs.
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
            f"process {local} of this machine has no GPU: there are {found}", f"Give torchrun --nproc-per-node {found}."
        )
    return f"cuda:{local}"


@contextmanager
def init_distributed(device: torch.device) -> Iterator[Processes]:
    """Meet the other processes for the time of the block; alone where torchrun has not started any.

    Args:
        device: Where the networks of this process are.

    Raises:
        ResourceError: they cannot be reached, or no longer.
    """
    if not is_distributed():
        yield Processes()
        return
    from torch.distributed.rendezvous import rendezvous  # not there in builds without torch.distributed

    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, rank, world = next(rendezvous("env://", timeout=TIMEOUT))
        store.set_timeout(TIMEOUT)
        backends = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backends, store=store, rank=rank, world_size=world, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise ResourceError(
            f"the other processes cannot be reached: {error}", "Start all of them with torchrun, on a free port."
        ) from error
    processes = Processes(rank, world, store)
    try:
        yield processes
    except (RuntimeError, MemoryError) as error:
        explain_lost_peer(error, processes)
        raise
    finally:
        dist.destroy_process_group()

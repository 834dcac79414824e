"""How OpenMP's threads wait for work on a CPU: set before PyTorch loads, and adapted while other programs run.

Between two parallel operations a thread either spins, which is fastest on an idle machine, or sleeps. When another
program needs the cores, a spinning thread takes the time of the thread that it waits for, and training is several times
slower. GNU's OpenMP (in PyTorch's packages for Linux) reads how long to spin when it is loaded. While more of its
threads exist than there are cores, it sleeps almost at once (libgomp's manual, GOMP_SPINCOUNT). So `adapt_spinning`
keeps threads in reserve, idle, while other programs use the cores, and ends them afterwards. Results do not change.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

USER_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
OURS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000"}
"""Rounds to spin, some 50 µs: about as fast as libgomp's own 300,000 on an idle machine, faster beside others. With the
policy, they are 0 and not 100 while libgomp has more threads than cores."""

CHECK_SECONDS = 1.0
BUSY_CORES, IDLE_CORES = 0.3, 0.15
"""Missing cores from which threads sleep, and below which they spin again."""

_FORK_SIZE = 1 << 20  # elements; PyTorch splits an operation of this size over its threads
_MAPS = Path("/proc/self/maps")


def prepare_environment(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set how long OpenMP's threads spin, unless the user has set it. Call it before PyTorch is imported."""
    if user_setting(environ) is None:
        environ.update(OURS)


def user_setting(environ: MutableMapping[str, str] = os.environ) -> str | None:
    """The user's own setting, such as "OMP_WAIT_POLICY=PASSIVE"; None if there is none."""
    found = {name: environ[name] for name in USER_SETTINGS if name in environ}
    if not found or found == OURS:  # a child process inherits ours
        return None
    return " ".join(f"{name}={value}" for name, value in found.items())


def adapts() -> bool:
    """Whether `adapt_spinning` does anything here: GNU's OpenMP, several threads, and no setting of the user."""
    import torch

    return _has_gnu_openmp() and user_setting() is None and torch.get_num_threads() > 1


def describe() -> str:
    """How PyTorch's threads wait for work here, in words for `swincli doctor`."""
    setting = user_setting()
    if setting is not None:
        return f"wait as your {setting} says"
    return (
        "spin briefly, and sleep while other programs need the cores" if adapts() else "wait as OpenMP's defaults say"
    )


def missing_cores(threads: int, others: float, cores: int) -> float:
    """Cores that `threads` busy threads lack while other programs use `others` of `cores` cores; at least 0."""
    return max(0.0, threads + others - cores)


def other_programs(seconds: float) -> float:
    """Cores that other programs use, of those that this process may use, measured for `seconds`."""
    before = _core_seconds()
    time.sleep(seconds)
    return _others(before, _core_seconds())


@contextmanager
def adapt_spinning() -> Iterator[None]:
    """In the block, threads sleep between operations while other programs need the cores, and spin otherwise."""
    if not adapts():
        yield
        return
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(done,), name="swincli-openmp", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(done: threading.Event) -> None:
    import torch

    threads, cores = torch.get_num_threads(), len(_allowed_cores())
    reserve, before = Reserve(cores // (threads - 1) + 1), _core_seconds()
    try:
        while not done.wait(CHECK_SECONDS):
            now = _core_seconds()
            reserve.update(missing_cores(threads, _others(before, now), cores))
            before = now
    finally:
        reserve.end()


class Reserve:
    """Threads that each hold a team of OpenMP's threads, idle. While there are any, OpenMP's other threads sleep.

    Args:
        teams: How many teams make more threads than cores.
    """

    def __init__(self, teams: int) -> None:
        self._teams = teams
        self._release: threading.Event | None = None
        self._holders: list[threading.Thread] = []

    def update(self, missing: float) -> None:
        """Start the threads when `missing` cores reach `BUSY_CORES`, and end them below `IDLE_CORES`."""
        if self._release is None and missing >= BUSY_CORES:
            self._release = release = threading.Event()
            self._holders = [
                threading.Thread(target=_hold_team, args=(release,), daemon=True) for _ in range(self._teams)
            ]
            for holder in self._holders:
                holder.start()
        elif missing < IDLE_CORES:
            self.end()

    @property
    def is_held(self) -> bool:
        """Whether the threads exist."""
        return self._release is not None

    def end(self) -> None:
        """End the threads, if there are any."""
        if self._release is not None:
            self._release.set()
            for holder in self._holders:
                holder.join()
        self._release, self._holders = None, []


def _hold_team(release: threading.Event) -> None:
    """Run one parallel operation, for which OpenMP makes a team of threads; they live until this thread ends."""
    import torch

    torch.empty(_FORK_SIZE, dtype=torch.uint8).fill_(0)
    release.wait()


def _has_gnu_openmp() -> bool:
    """Whether GNU's OpenMP, and no other one, runs PyTorch's threads."""
    if sys.platform != "linux":
        return False
    try:
        loaded = _MAPS.read_text(errors="replace")
    except OSError:
        return False
    return "libgomp" in loaded and not any(other in loaded for other in ("libiomp5", "libomp.so"))


def _allowed_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))


def _core_seconds() -> tuple[float, float, float]:
    """Time now, busy seconds of all allowed cores so far, and seconds of this process so far."""
    import psutil

    times, allowed = psutil.cpu_times(percpu=True), _allowed_cores()
    busy = sum(
        sum(core)
        - core.idle
        - getattr(core, "iowait", 0.0)
        - getattr(core, "guest", 0.0)
        - getattr(core, "guest_nice", 0.0)
        for core in (times[index] for index in allowed if index < len(times))
    )
    return time.monotonic(), busy, time.process_time()


def _others(before: tuple[float, float, float], now: tuple[float, float, float]) -> float:
    passed = now[0] - before[0]
    return max(0.0, (now[1] - before[1]) - (now[2] - before[2])) / passed if passed > 0 else 0.0

"""Timing, matrix rate and memory of the current process."""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeGuard

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

GEMM_SIDE, GEMM_REPEATS = 2048, 5
STATUS = Path("/proc/self/status")

Work = Callable[[], object]
Figures = dict[str, float]


def seconds_of(works: Sequence[Work], repeats: int) -> list[float]:
    """Median time of each function. The functions take turns, after one round of warm-up.

    Taking turns exposes all of them to the same disturbances, so ratios are more reliable than times.
    """
    times: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(repeats):
        for work, spent in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
    return [statistics.median(spent) for spent in times]


def gemm_rate(side: int = GEMM_SIDE) -> float:
    """FLOP/s of a square float32 matrix product of `side` rows, with PyTorch's threads."""
    a, b = torch.randn(side, side), torch.randn(side, side)
    (spent,) = seconds_of([lambda: a @ b], GEMM_REPEATS)
    return 2 * side**3 / spent


def share_of_gemm(work: Work, flops: float, repeats: int) -> Figures:
    """Time and peak memory of a function, and its FLOP/s as a share of the matrix rate just before and after it."""
    before = gemm_rate()
    (spent,) = seconds_of([work], repeats)
    gemm = (before + gemm_rate()) / 2
    rate = flops / spent
    return {
        "share": rate / gemm,
        "seconds": spent,
        "gflops": rate / 1e9,
        "gemm_gflops": gemm / 1e9,
        "peak_gib": peak_memory() / 2**30,
    }


def peak_memory() -> int:
    """Peak resident memory of this process in bytes."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _has_memory(thing: object) -> TypeGuard[torch.Tensor]:
    """Whether it is a tensor with values: fake tensors of earlier counts have none."""
    return issubclass(type(thing), torch.Tensor) and not issubclass(type(thing), FakeTensor)


def kept_bytes(network: nn.Module) -> int:
    """Bytes of all live tensors of this process except the network's parameters: buffers and caches."""
    gc.collect()
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}
    for thing in gc.get_objects():
        if _has_memory(thing) and thing.layout is torch.strided:
            storage = thing.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
    return sum(size for address, size in kept.items() if address not in weights)

"""CPU cores and memory that this process may use: the machine's, or its container's share of them."""

from __future__ import annotations

import math
import os

import psutil

from swincli.system.cgroup import cpu_limit, memory_left, memory_limit


def usable_cores() -> int:
    """CPU cores that this process may use, at least 1: by affinity and by the container's limit, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = cpu_limit()
    return allowed if limit is None else max(1, min(allowed, math.ceil(limit)))


def total_memory() -> int:
    """Bytes of memory of the machine, or of the container if its limit is lower."""
    total = int(psutil.virtual_memory().total)
    return min(total, memory_limit() or total)


def available_memory() -> int:
    """Bytes of memory that this process can still allocate within the machine and its container."""
    free, left = int(psutil.virtual_memory().available), memory_left()
    return free if left is None else min(free, left)

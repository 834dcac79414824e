"""The CPU's name, and the cores and memory that this process may use: the machine's, or its container's share."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from swincli.system.cgroup import cpu_limit, memory_left, memory_limit

_CPUINFO = Path("/proc/cpuinfo")


def cpu_name() -> str:
    """The maker's name of the CPU, or the name of its architecture if the system does not give one."""
    with suppress(OSError):
        if sys.platform == "linux":
            for line in _CPUINFO.read_text(errors="replace").splitlines():
                key, _, value = line.partition(":")
                if key.strip() == "model name" and value.strip():
                    return value.strip()
        elif sys.platform == "darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return platform.processor() or platform.machine() or "unknown"


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

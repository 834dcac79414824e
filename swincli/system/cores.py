"""How many processes or threads have a core to run on."""

from __future__ import annotations

import math
import os

from swincli.system.cgroup import cpu_limit


def usable_cores() -> int:
    """Cores that this process may use, at least 1: by affinity, and by a container's limit, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = cpu_limit()
    return allowed if limit is None else max(1, min(allowed, math.ceil(limit)))

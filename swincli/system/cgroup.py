"""CPU, memory and process limits from Linux control groups (cgroup v1 and v2), which containers and schedulers set.

Version 2 has one tree of groups, version 1 has one tree per resource. A limit also applies to all groups below, so the
lowest limit from the process's group up to the root counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
_UNLIMITED = 2**60  # without a limit, version 1 writes the largest multiple of the page size


def cpu_limit(root: Path = ROOT, own: Path = OWN) -> float | None:
    """CPU time that the process may use, in cores, such as 2.5; None without a limit.

    Args:
        root: Mount point of the control groups.
        own: File that lists the groups of this process.
    """
    limits = []
    for folder in _folders(root, own, "cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = (folder / "cpu.max").read_text().split()  # "max 100000" means no limit
            limits.append(int(quota) / int(period))
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            limits.append(int(quota) / int(period))  # -1 means no limit
    return min((limit for limit in limits if limit > 0), default=None)


def process_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Processes and threads that the group may have at a time; None without a limit."""
    limits = []
    for folder in _folders(root, own, "pids"):
        with suppress(OSError, ValueError):  # "max" is not a number
            limits.append(int((folder / "pids.max").read_text()))
    return min(limits, default=None)


def memory_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Memory limit in bytes, shared by all processes of the group; None without a limit."""
    return min((limit for limit, _ in _memory(root, own)), default=None)


def memory_left(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes still free below the lowest memory limit; None without a limit.

    The reclaimable part of the file cache counts as free.
    """
    return min((max(limit - used, 0) for limit, used in _memory(root, own)), default=None)


def _memory(root: Path, own: Path) -> Iterator[tuple[int, int]]:
    """`(limit, bytes in use)` of every group that has a memory limit."""
    for folder in _folders(root, own, "memory"):
        for limit_file, usage_file in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            with suppress(OSError, ValueError):  # "max" is not a number
                limit = int((folder / limit_file).read_text())
                if limit < _UNLIMITED:
                    yield limit, int((folder / usage_file).read_text()) - _cached(folder)


def _cached(folder: Path) -> int:
    """Bytes of inactive file cache, which the kernel can reclaim."""
    with suppress(OSError, ValueError):
        values = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(values.get("total_inactive_file") or values.get("inactive_file") or 0)
    return 0


def _folders(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """Folders of the process's groups for one controller, from the innermost up to the root."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            trees = [root, root / "unified"]
        elif controller in controllers.split(","):
            trees = [root / controllers, root / controller]
        else:
            continue
        for tree in dict.fromkeys(trees):
            place = Path(path)
            yield from (tree / part.relative_to("/") for part in (place, *place.parents))

"""The share of the machine that a container or a scheduler leaves to this process, as Linux's control groups say it.

Version 2 has one tree, version 1 one for each resource. A limit holds for all groups below the one that sets it, so the
tightest on the way up counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
_UNLIMITED = 2**60  # version 1 writes the largest number of whole pages where there is no limit


def cpu_limit(root: Path = ROOT, own: Path = OWN) -> float | None:
    """Cores' worth of time that the process may use, such as 2.5; None where there is no limit.

    Args:
        root: Where the groups are mounted.
        own: The file that lists the groups of a process.
    """
    limits = []
    for folder in _folders(root, own, "cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = (folder / "cpu.max").read_text().split()  # "max 100000" where there is no limit
            limits.append(int(quota) / int(period))
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            limits.append(int(quota) / int(period))  # -1 where there is no limit
    return min((limit for limit in limits if limit > 0), default=None)


def memory_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes that the process and those beside it may use; None where there is no limit."""
    return min((limit for limit, _ in _memory(root, own)), default=None)


def memory_left(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes of the tightest limit that are not in use yet; None where there is no limit.

    What the system keeps of files, and would give up for the asking, does not count as in use.
    """
    return min((max(limit - used, 0) for limit, used in _memory(root, own)), default=None)


def _memory(root: Path, own: Path) -> Iterator[tuple[int, int]]:
    """Limit and bytes in use of every group that has a limit."""
    for folder in _folders(root, own, "memory"):
        for limit_file, usage_file in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            with suppress(OSError, ValueError):  # "max" is no number
                limit = int((folder / limit_file).read_text())
                if limit < _UNLIMITED:
                    yield limit, int((folder / usage_file).read_text()) - _cached(folder)


def _cached(folder: Path) -> int:
    """Bytes of files in memory that nobody has used lately."""
    with suppress(OSError, ValueError):
        values = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(values.get("total_inactive_file") or values.get("inactive_file") or 0)
    return 0


def _folders(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """The folder of every group that the process is in, for one resource, up to the root."""
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

"""Errors that come from the limits of a process: memory, threads and processes, open files."""

from __future__ import annotations

import errno
import importlib
from typing import Any

from swincli.errors import ResourceError
from swincli.system.cgroup import process_limit
from swincli.units import format_bytes

_NO_THREAD = ("can't start new thread", "thread creation failed", "pthread_create", "resource temporarily unavailable")
OUT_OF_MEMORY = (
    "out of memory",  # CUDA, MPS
    "defaultcpuallocator",  # "can't allocate memory" on POSIX, "not enough memory" on Windows
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)
"""Parts of the messages with which PyTorch and its libraries say that memory ran out, in small letters."""

_ULIMIT = {"RLIMIT_AS": "-v", "RLIMIT_DATA": "-d", "RLIMIT_NPROC": "-u", "RLIMIT_NOFILE": "-n"}
_BYTES = ("RLIMIT_AS", "RLIMIT_DATA")
_SMALLER = "Use smaller batches or images, or end other programs."


def explain_limit(error: BaseException) -> ResourceError | None:
    """The error to print instead of one that a limit of the process or the machine causes; None for any other."""
    words = str(error).lower()
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, RuntimeError) and any(sign in words for sign in _NO_THREAD):
        return ResourceError("the system lets this process start no more threads", threads_hint())
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in words for sign in OUT_OF_MEMORY)
    ):
        said = str(error).strip().splitlines()
        of_device = any(device in words for device in ("cuda", "cublas", "cudnn", "hip out", "mps"))
        hint = None if of_device else memory_limit_hint()
        return ResourceError(f"memory ran out{f': {said[0]}' if said else ''}", hint or _SMALLER)
    return None


def _of_system(error: OSError) -> ResourceError | None:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        hint = _hint(("RLIMIT_NOFILE",)) or "End other programs."
        return ResourceError(f"the system lets this process open no more files{where}", hint)
    if error.errno == errno.ENOMEM:
        return ResourceError(f"memory ran out{where}", memory_limit_hint() or _SMALLER)
    if error.errno == errno.EAGAIN and not error.filename:
        return ResourceError("the system lets this process start no more processes", threads_hint())
    return None


def memory_limit_hint() -> str | None:
    """The limits of this process's memory in words, if it has any."""
    return _hint(_BYTES)


def threads_hint() -> str:
    """The limits of threads and processes in words."""
    limits = _hint(("RLIMIT_NPROC",))
    of_group = process_limit()
    if of_group is not None:
        words = f"The control group (a container or a scheduler) allows {of_group:,} processes, in pids.max."
        limits = f"{limits} {words}" if limits else words
    return limits or "End other programs, or use fewer threads: OMP_NUM_THREADS=1."


def _hint(names: tuple[str, ...]) -> str | None:
    """Name and value of each limit that is set; None if none is."""
    found = []
    for name in names:
        value = _soft_limit(name)
        if value is not None:
            amount = format_bytes(value) if name in _BYTES else f"{value:,}"
            found.append(f"{name} is {amount} (ulimit {_ULIMIT[name]})")
    return f"{', '.join(found)}: raise it." if found else None


def _soft_limit(name: str) -> int | None:
    """The soft limit of that name; None if there is none, or the system has no such limits (Windows)."""
    try:
        resource: Any = importlib.import_module("resource")
        value: int = resource.getrlimit(getattr(resource, name))[0]
    except (ImportError, AttributeError, OSError, ValueError):
        return None
    return None if value in (-1, resource.RLIM_INFINITY) else value

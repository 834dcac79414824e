"""The lock of a run folder, `RUN/.lock`: only one `swincli train` works in it at a time.

The file holds host, process and start of the session as JSON. Where the system has `flock`, the file is also locked
with it, and the system lets go of it when the process dies. Elsewhere (Windows, some network disks) the content alone
decides. The time of the file is the session's last sign of life.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from swincli.errors import TrainingError, from_os_error

if TYPE_CHECKING:
    from swincli.system.distributed import Processes

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_WAIT = 0.1  # seconds until another process has written its content
_TRIES = 10
_SAME_START = 2.0  # seconds; a process of the same number that started at another time is another one
_NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)


@contextmanager
def locked_run(folder: Path, processes: Processes) -> Iterator[RunLock]:
    """Hold the lock of a run folder during the block; rank 0 does it for all ranks, whose locks hold nothing.

    Raises:
        TrainingError: another process holds it.
        ResourceError: the lock file cannot be written.
    """
    lock = RunLock(folder)
    processes.from_main(lock.acquire)
    try:
        yield lock
    finally:
        if processes.is_main:
            lock.release()


class RunLock:
    """The lock of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / ".lock"
        self.facts = own_facts()
        self._descriptor: int | None = None
        self._new_folders: list[Path] = []

    def acquire(self) -> None:
        """Take the lock, also that of a process that has died; creates the run folder.

        Raises:
            TrainingError: another process holds it, or may hold it on another machine.
            ResourceError: the file cannot be written.
        """
        folders = [self.folder, *self.folder.parents]
        self._new_folders = [folder for folder in folders if not folder.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for _ in range(_TRIES):
                if self._try():
                    return
        except OSError as error:
            self._remove_folders()
            raise from_os_error(error, f"writing {self.path}") from error
        raise TrainingError(f"{self.path}: other processes take and release it all the time", "Try again.")

    def release(self) -> None:
        """Give the lock back. Folders that were made for it and are still empty are removed."""
        if self._descriptor is None:
            return
        own = _is_file_of(self._descriptor, self.path)
        if fcntl is None:  # Windows removes no open file
            self._close()
        if own:
            with suppress(OSError):
                self.path.unlink()
        self._close()
        self._remove_folders()

    def touch(self) -> None:
        """Give a sign of life: set the file's time to now."""
        if self._descriptor is not None and _is_file_of(self._descriptor, self.path):
            with suppress(OSError):
                os.utime(self.path)

    def _close(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = None

    def _try(self) -> bool:
        """Take the lock once; False if its file was removed meanwhile.

        Raises:
            TrainingError: another process holds it.
        """
        descriptor, locked = _open_locked(self.path)
        try:
            if locked is not False and not _is_file_of(descriptor, self.path):
                os.close(descriptor)
                return False
            holder = read_lock(self.path)
            if locked is False or _may_live(holder, locked=locked is not None):
                raise self._refusal(holder)
            content = json.dumps(self.facts).encode()
            with self.path.open("r+b") as file:
                file.truncate(0)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if locked is None:
                time.sleep(_WAIT)  # of two that took a dead one's lock at once, the later one has it
                if self.path.read_bytes() != content:
                    raise self._refusal(read_lock(self.path))
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def _refusal(self, holder: dict[str, Any]) -> TrainingError:
        host, pid, since = (holder.get(name, "unknown") for name in ("host", "pid", "since"))
        message = f"{self.folder}: another swincli train works in it (process {pid} on {host}, since {since})"
        if host == platform.node():
            return TrainingError(message, "Stop that process or wait until it ends, or give another --out.")
        return TrainingError(message, f"If that process has ended, delete {self.path}. Or give another --out.")

    def _remove_folders(self) -> None:
        for folder in self._new_folders:
            with suppress(OSError):
                folder.rmdir()


def read_lock(path: Path, tries: int = _TRIES) -> dict[str, Any]:
    """The content of a lock file; empty if nobody has written any. An unreadable one is tried again, in vain or not.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    for _ in range(tries):
        with suppress(ValueError):
            content = json.loads(path.read_bytes() or b"{}")
            if isinstance(content, dict):
                return content
        time.sleep(_WAIT)
    return {}


def own_facts() -> dict[str, Any]:
    """What a session of this process writes into its lock."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
        "started": psutil.Process().create_time(),
        "job": _job(),
        "restarts": _restarts(),
    }


def _job() -> str | None:
    """What names the job of a scheduler or of torchrun in all its restarts; None without one."""
    job = os.environ.get("SLURM_JOB_ID") or os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return None if job == "none" else job


def _restarts() -> list[int]:
    """How often the scheduler, and then torchrun, have started the job again."""
    counts = (os.environ.get(name, "") for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"))
    return [int(count) if count.isdecimal() else 0 for count in counts]


def _may_live(holder: dict[str, Any], *, locked: bool) -> bool:
    """Whether the process that wrote a lock may be alive.

    Args:
        holder: Content of the file.
        locked: Whether we hold its `flock`, so that no living process of this machine does.
    """
    if not holder:
        return False
    if holder.get("host") != platform.node():
        restarted = _job() is not None and holder.get("job") == _job() and _earlier(holder, _restarts())
        return not restarted  # a scheduler ends a job before it starts the job again
    return not locked and process_lives(holder)


def process_lives(holder: dict[str, Any]) -> bool:
    """Whether the process that wrote a lock on this machine is alive."""
    try:
        started = psutil.Process(int(holder["pid"])).create_time()
        return abs(started - float(holder["started"])) < _SAME_START
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def _earlier(holder: dict[str, Any], restarts: list[int]) -> bool:
    """Whether a lock is of an earlier start of the job."""
    try:
        return [int(count) for count in holder["restarts"]] < restarts
    except (KeyError, TypeError, ValueError):
        return False


def _open_locked(path: Path) -> tuple[int, bool | None]:
    """Open the file, create it if need be, and lock it as `_flock` does.

    It is opened to read, so that the disk can still be made read-only; only NFS asks for a file opened to write.
    """
    for flags in (os.O_RDONLY, os.O_RDWR):
        descriptor = os.open(path, flags | os.O_CREAT, 0o666)
        try:
            return descriptor, _flock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno != errno.EBADF or flags == os.O_RDWR:
                raise
    raise AssertionError


def _flock(descriptor: int) -> bool | None:
    """Lock a file: True if that succeeds, False if another process holds it, None if the system cannot."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_FLOCK:
            return None
        raise
    return True


def _is_file_of(descriptor: int, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False

"""Atomic file writes: a file gets its final name only once it is complete and on disk."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from swincli.errors import from_os_error
from swincli.system.leftovers import hidden_beside
from swincli.units import format_json

_PROBE_BYTES = 2**20  # written after a failed write, to get the operating system's error


def write_atomically(path: Path, write: Callable[[Path], object], *, sync: bool = True) -> None:
    """Let `write` fill a temporary file beside `path`, sync it to disk, then rename it to `path`.

    Args:
        path: The file.
        write: Writes the file under the path that it gets.
        sync: Whether to sync the file and its folder. Without, a power failure can leave an incomplete file until the
            caller has called `sync_all`; a killed process cannot.

    Raises:
        ResourceError: the disk is full, or the folder is not writable.
    """
    with atomic_path(path, sync=sync) as temporary:
        write(temporary)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an .npz file atomically.

    Raises:
        ResourceError: the disk is full, or the folder is not writable.
    """
    import numpy as np

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # numpy would append .npz to a name
            np.savez(file, **arrays)

    write_atomically(path, write)


def check_writable(path: Path) -> None:
    """Check, before any work is done, that a file can be written: try it under a hidden name. No folder is made.

    Raises:
        ResourceError: it cannot.
    """
    hidden = hidden_beside(path.resolve(), "partial")
    above = next(place for place in hidden.parents if os.path.lexists(place))
    try:
        probe = above / hidden.name
        probe.touch()
        probe.unlink()
    except NotADirectoryError as error:
        raise from_os_error(FileExistsError(errno.EEXIST, ""), f"writing {path}") from error
    except OSError as error:
        raise from_os_error(error, f"writing {path}") from error


@contextmanager
def atomic_path(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`. The file is renamed to `path` when the block ends without an error.

    For `sync`, see `write_atomically`.

    Raises:
        ResourceError: the disk is full, or the folder is not writable.
    """
    temporary = hidden_beside(path, "partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode_of_new_file(temporary)
        yield temporary
        with suppress(PermissionError):  # some network disks know no permissions
            temporary.chmod(mode)  # safetensors writes files that only their owner can read
        if sync:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
        if sync:
            sync_folder(path.parent)
    except OSError as error:
        raise from_os_error(error, f"writing {path}") from error
    except Exception as error:  # torch and safetensors replace the operating system's error by their own
        os_error = _probe_write(temporary)
        if os_error is None:
            raise
        raise from_os_error(os_error, f"writing {path}") from error
    finally:
        with suppress(OSError):  # if the folder could not be created, there is nothing to remove
            temporary.unlink(missing_ok=True)


def _mode_of_new_file(path: Path) -> int:
    """Permissions of a new file at a path, which must be free. The umask cannot be read without setting it."""
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    return mode


def append_json_line(log: Path, values: Mapping[str, Any]) -> None:
    """Append one JSON line to a log and sync it to disk. A line that does not fit is removed again.

    Infinite and NaN numbers become null. If the log ends within a line, as after a power failure, a new one begins.

    Raises:
        ResourceError: the file cannot be written.
    """
    try:
        with _open_unbuffered(log) as file:
            length = file.tell()
            try:
                begin = "" if _ends_line(log) else "\n"
                _write_all(file, f"{begin}{format_json(values)}\n".encode())
            except BaseException:
                with suppress(OSError):
                    file.truncate(length)
                raise
    except OSError as error:
        raise from_os_error(error, f"writing {log}") from error


def _ends_line(log: Path) -> bool:
    """Whether a file is empty or its last byte ends a line."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        return file.read() in (b"", b"\n")


def sync_folder(folder: Path) -> None:
    """Sync a folder's list of names to disk; does nothing outside POSIX and on disks that cannot do it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


SYNCS_ALL = hasattr(os, "sync")
"""Whether the system can sync all files at once."""


def sync_all() -> None:
    """Sync all files of the system to disk. After many small files this is faster than a sync of each."""
    os.sync()


def nearest_folder(path: Path) -> Path:
    """`path` if it is a folder, else the nearest existing folder above it."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def free_bytes(path: Path) -> int:
    """Free bytes on the disk that holds `path`, or would hold it once it is created."""
    return shutil.disk_usage(nearest_folder(path)).free


def _probe_write(path: Path) -> OSError | None:
    """The operating system's error when more bytes are written to a file; None if they can be written."""
    try:
        with _open_unbuffered(path) as file:
            _write_all(file, bytes(_PROBE_BYTES))
    except OSError as error:
        return error
    return None


def _open_unbuffered(path: Path) -> FileIO:
    """Open a file to append. A buffer would write again on close."""
    return path.open("ab", buffering=0)


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:  # an almost full disk takes a part of the data and refuses the next write
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())

"""Writing files so that nothing half-written ever bears its final name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from swincli.errors import from_os_error

_PROBE = 2**20  # bytes that a disk is asked to take where a write has failed


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it to the disk, and only then give it its name.

    Raises:
        ResourceError: the disk is full, or the folder may not be written.
    """
    with appearing(path) as temporary:
        write(temporary)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an .npz file as `write_atomically` does.

    Raises:
        ResourceError: the disk is full, or the folder may not be written.
    """
    import numpy as np

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # given a name, numpy would add .npz to it
            np.savez(file, **arrays)

    write_atomically(path, write)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Hand out a temporary name beside `path` for a file that gets its own name when the block ends well.

    Raises:
        ResourceError: the disk is full, or the folder may not be written.
    """
    temporary = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.chmod(_usual_mode())  # safetensors writes files that nobody else may read
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise from_os_error(error, f"writing {path}") from error
    except Exception as error:  # torch and safetensors hide the operating system's error in their own
        refusal = _refusal(temporary)
        if refusal is None:
            raise
        raise from_os_error(refusal, f"writing {path}") from error
    finally:
        with suppress(OSError):  # where the folder could not be made, there is nothing to remove
            temporary.unlink(missing_ok=True)


def _usual_mode() -> int:
    """Permissions of a new file as the user's umask has them."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def append_line(log: Path, values: Mapping[str, Any]) -> None:
    """Append one JSON line to a log and sync it to the disk; a line that does not fit is not begun.

    Raises:
        ResourceError: the file cannot be written.
    """
    try:
        with _open_raw(log) as file:
            length = file.tell()
            try:
                _write_whole(file, (json.dumps(values) + "\n").encode())
            except BaseException:
                with suppress(OSError):
                    file.truncate(length)
                raise
    except OSError as error:
        raise from_os_error(error, f"writing {log}") from error


def sync_folder(folder: Path) -> None:
    """Ask the system to write a folder's list of names, where it can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(path: Path) -> int:
    """Bytes that are free on the disk that holds a path, or will hold it once it is made."""
    place = path.resolve()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def _refusal(path: Path) -> OSError | None:
    """What the system says to more bytes in a file that could not be written; None where it takes them."""
    try:
        with _open_raw(path) as file:
            _write_whole(file, bytes(_PROBE))
    except OSError as error:
        return error
    return None


def _open_raw(path: Path) -> FileIO:
    """A file to append to, without a buffer that would try again when it is closed."""
    return path.open("ab", buffering=0)


def _write_whole(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:  # a disk that is nearly full takes a part, and refuses the next
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())

"""Writing files so that nothing half-written ever bears its final name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from swincli.errors import ResourceError, from_os_error

_FULL = 2**20  # free bytes under which a failed write is put down to a full disk


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it to the disk, and only then give it its name.

    Raises:
        ResourceError: the disk is full, or the folder may not be written.
    """
    temporary = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise from_os_error(error, f"writing {path}") from error
    except Exception as error:  # torch and safetensors hide the operating system's error in their own
        if path.parent.is_dir() and shutil.disk_usage(path.parent).free < _FULL:
            raise ResourceError(f"writing {path}: no space left on the disk", "Free some space.") from error
        raise
    finally:
        with suppress(OSError):  # where the folder could not be made, there is nothing to remove
            temporary.unlink(missing_ok=True)


def append_line(log: Path, values: Mapping[str, Any]) -> None:
    """Append one JSON line to a log and sync it to the disk.

    Raises:
        ResourceError: the file cannot be written.
    """
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())
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

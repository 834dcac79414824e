"""Putting a store in its place: built aside under a hidden name, renamed once it is whole."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from swincli.data.manifest import LABELS_FILE, MANIFEST_FILE, is_store
from swincli.errors import DataError, ResourceError, UsageError
from swincli.files import free_bytes, sync_folder
from swincli.units import format_bytes


def check_outside(dest: Path, source: str) -> None:
    """Refuse a destination inside the folder that is read.

    Raises:
        UsageError: it is.
    """
    is_folder = not source.startswith("builtin:") and Path(source).is_dir()
    if is_folder and dest.resolve().is_relative_to(Path(source).resolve()):
        hint = "Choose a DEST beside it, so that the store is never read as a source."
        raise UsageError(f"{dest} lies inside the source {source}", hint)


def check_destination(dest: Path, *, force: bool) -> None:
    """Refuse a destination that must not be written to.

    Raises:
        DataError: it exists and is not to be replaced: only a store or an empty folder ever is, and only with `force`.
    """
    real = dest.resolve()
    if not real.exists():
        return
    if not real.is_dir():
        raise DataError(f"{dest} is a file", "Choose another DEST.")
    stranger = _stranger(real)
    if stranger is not None:
        raise DataError(f"{dest} is not just a store: it holds {stranger}", "Choose another DEST; this is left alone.")
    if not force:
        raise DataError(f"{dest} exists", "Replace it with --force, or choose another DEST.")


def check_space(dest: Path, needed: int, why: str) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        dest: Where the store will be.
        needed: Its size in bytes, at most.
        why: What takes the space, such as "5,000 images at 256 px".

    Raises:
        ResourceError: not enough space is free.
    """
    free = free_bytes(dest.resolve().parent)
    if needed > free:
        message = f"{dest}: {why} need {format_bytes(needed)}, the disk has {format_bytes(free)} free"
        raise ResourceError(message, "Free some space, choose another disk, or take fewer with --max-images.")


@contextmanager
def staged(dest: Path, *, force: bool) -> Iterator[Path]:
    """Hand out an empty folder beside `dest` that takes its place when the block ends well, and vanishes if not.

    What lies at `dest` is removed only after the new folder has its name. What processes that were killed have left
    beside it is cleared away first.

    Raises:
        DataError: `check_destination` refuses, before the block or, if something came up meanwhile, after it.
    """
    real = dest.resolve()
    clear_remains(real)
    check_destination(dest, force=force)
    partial = _beside(real, "partial")
    real.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.mkdir()
        yield partial
        sync_folder(partial)
        check_destination(dest, force=force)
        _take_place(partial, real)
        sync_folder(real.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def clear_remains(real: Path) -> None:
    """Remove what killed processes have left beside a store, and give back its name to one that they were replacing.

    Only processes of this machine are known to be dead; what others have begun on a shared disk is left alone.

    Args:
        real: Where the store is, or is to be, without links.
    """
    for replaced in _remains(real, "replaced"):
        if not real.exists():
            replaced.rename(real)
        shutil.rmtree(replaced, ignore_errors=True)
    for partial in _remains(real, "partial"):
        shutil.rmtree(partial, ignore_errors=True)


def _beside(real: Path, kind: str) -> Path:
    """A hidden name beside a store that belongs to this process."""
    return real.with_name(f".{real.name}.{kind}-{_machine()}-{os.getpid()}")


def _remains(real: Path, kind: str) -> list[Path]:
    """What processes of this machine that live no more, or had our number, have left under such names."""
    start = f".{real.name}.{kind}-{_machine()}-"
    beside = [path for path in real.parent.iterdir() if path.name.startswith(start)] if real.parent.is_dir() else []
    numbers = {path: path.name.removeprefix(start) for path in beside}
    return [
        path
        for path, number in numbers.items()
        if number.isdigit() and (int(number) == os.getpid() or not psutil.pid_exists(int(number)))
    ]


def _machine() -> str:
    """This machine's name, as far as it can be part of a file's."""
    return "".join(letter for letter in platform.node() if letter.isalnum()) or "here"


def _take_place(new: Path, real: Path) -> None:
    if not real.exists():
        new.rename(real)
        return
    old = _beside(real, "replaced")
    real.rename(old)
    try:
        new.rename(real)
    except BaseException:
        old.rename(real)
        raise
    shutil.rmtree(old)


def _stranger(folder: Path) -> str | None:
    """Name something in a folder that is no part of a store, if there is."""
    names = sorted(item.name for item in folder.iterdir())
    if names and not is_store(folder):
        return names[0]
    for name in names:
        is_shard = name.startswith("images-") and name.endswith(".npy")
        if name not in (MANIFEST_FILE, LABELS_FILE) and not is_shard:
            return name
    return None

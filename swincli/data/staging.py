"""Putting a store in its place: built aside under a hidden name, renamed once it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swincli.data.manifest import LABELS_FILE, MANIFEST_FILE, is_store
from swincli.errors import DataError, ResourceError, UsageError
from swincli.files import sync_folder
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
    parent = dest.resolve().parent
    while not parent.exists():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    if needed > free:
        message = f"{dest}: {why} need {format_bytes(needed)}, the disk has {format_bytes(free)} free"
        raise ResourceError(message, "Free some space, choose another disk, or take fewer with --max-images.")


@contextmanager
def staged(dest: Path, *, force: bool) -> Iterator[Path]:
    """Hand out an empty folder beside `dest` that takes its place when the block ends well, and vanishes if not.

    What lies at `dest` is removed only after the new folder has its name.

    Raises:
        DataError: `check_destination` refuses, before the block or, if something came up meanwhile, after it.
    """
    check_destination(dest, force=force)
    real = dest.resolve()
    partial = real.with_name(f".{real.name}.partial-{os.getpid()}")
    real.parent.mkdir(parents=True, exist_ok=True)
    if partial.exists():
        shutil.rmtree(partial)  # of a killed process that had our number
    try:
        partial.mkdir()
        yield partial
        sync_folder(partial)
        check_destination(dest, force=force)
        _take_place(partial, real)
        sync_folder(real.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _take_place(new: Path, real: Path) -> None:
    if not real.exists():
        new.rename(real)
        return
    old = real.with_name(f".{real.name}.replaced-{os.getpid()}")
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

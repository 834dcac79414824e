"""Putting what was prepared in its place: built aside under a hidden name, renamed once it is whole."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from swincli.data.store.manifest import (
    DATASET_FILE,
    LABELS_FILE,
    LENGTHS_FILE,
    MANIFEST_FILE,
    is_pictures,
    is_pictures_manifest,
    is_store,
)
from swincli.errors import DataError, ResourceError, UsageError
from swincli.system.atomic_files import free_bytes, sync_folder
from swincli.units import format_bytes

_OF_A_STORE = re.compile(
    rf"{re.escape(MANIFEST_FILE)}|{re.escape(LABELS_FILE)}|{re.escape(LENGTHS_FILE)}|images-\d+\.(npy|bin)"
)
_OF_PICTURES = re.compile(rf"{re.escape(MANIFEST_FILE)}|{re.escape(DATASET_FILE)}|\d{{5}}|img\d+\.png")
_REPLACED = "only a store, a zip or folder made by `swincli prepare-data`, or an empty folder is ever replaced"


def check_outside(dest: Path, source: str) -> None:
    """Refuse a destination inside the folder that is read, and the file that is.

    Raises:
        UsageError: it is.
    """
    if source.startswith("builtin:"):
        return
    is_folder = Path(source).is_dir()
    if Path(source).is_file() and dest.resolve() == Path(source).resolve():
        raise UsageError(f"{dest} is the source itself", "Choose another DEST.")
    if is_folder and dest.resolve().is_relative_to(Path(source).resolve()):
        hint = "Choose a DEST beside it, so that the store is never read as a source."
        raise UsageError(f"{dest} lies inside the source {source}", hint)


def check_destination(dest: Path, *, force: bool, as_file: bool = False) -> None:
    """Refuse a destination that must not be written to.

    Args:
        dest: Where the result is to be.
        force: Whether an earlier result there may be replaced.
        as_file: The result is a zip, and no folder.

    Raises:
        DataError: it exists and is not to be replaced: only what was prepared or an empty folder ever is, and only with
            `force`.
    """
    real = dest.resolve()
    if not real.exists():
        return
    if real.is_dir() == as_file:
        raise DataError(f"{dest} is a {'folder' if as_file else 'file'}", "Choose another DEST.")
    if as_file:
        if not _is_pictures_zip(real):
            raise DataError(f"{dest} was not made by swincli", f"Choose another DEST; {_REPLACED}.")
    elif stranger := _stranger(real):
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
def staged(
    dest: Path, *, force: bool, as_file: bool = False, check: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """Hand out a place that becomes `dest` when the block ends well, and vanishes if not.

    What lies at `dest` is removed only after the new one has its name. What processes that were killed have left
    beside it is cleared away first.

    Args:
        dest: Where the result is to be.
        force: Whether an earlier result there may be replaced.
        as_file: The place is a file to be made, not an empty folder.
        check: Replaces `check_destination`: raises DataError if the destination must not be written.

    Raises:
        DataError: `check_destination` refuses, before the block or, if something came up meanwhile, after it.
    """
    real = dest.resolve()
    clear_remains(real)
    check = check or functools.partial(check_destination, force=force, as_file=as_file)
    check(dest)
    partial = _beside(real, "partial")
    real.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.mkdir()
        place = partial / real.name if as_file else partial
        yield place
        sync_folder(partial)
        check(dest)
        _take_place(place, real)
        sync_folder(real.parent)
    finally:
        _remove(partial)


def clear_remains(real: Path) -> None:
    """Remove what killed processes have left beside a store, and give back its name to one that they were replacing.

    Only processes of this machine are known to be dead; what others have begun on a shared disk is left alone.

    Args:
        real: Where the store is, or is to be, without links.
    """
    for replaced in _remains(real, "replaced"):
        if not real.exists():
            replaced.rename(real)
        _remove(replaced)
    for partial in _remains(real, "partial"):
        _remove(partial)


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
    _remove(old)


def _remove(path: Path) -> None:
    """Remove a folder or a file; what the system does not let go of stays."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _stranger(folder: Path) -> str | None:
    """Name something in a folder that was not prepared by swincli, if there is; several results may lie in one."""
    known = _OF_A_STORE if is_store(folder) else _OF_PICTURES if is_pictures(folder) else None
    for item in sorted(folder.iterdir()):
        if known is None:
            prepared = item.is_dir() and (is_store(item) or is_pictures(item)) and _stranger(item) is None
            if not prepared and not _is_pictures_zip(item):
                return item.name
        elif not known.fullmatch(item.name):
            return item.name
        elif item.is_dir() and known is _OF_PICTURES:
            inside = next((path.name for path in item.iterdir() if not known.fullmatch(path.name)), None)
            if inside is not None:
                return f"{item.name}/{inside}"
    return None


def _is_pictures_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return is_pictures_manifest(archive.read(MANIFEST_FILE))
    except (OSError, KeyError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return False

"""Staging: build a result in a hidden folder beside its destination and rename it when it is complete."""

from __future__ import annotations

import functools
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from swincli.data.store.manifest import (
    ATTRIBUTES_FILE,
    CAPTIONS_FILE,
    DATASET_FILE,
    LABELS_FILE,
    LENGTHS_FILE,
    MANIFEST_FILE,
    is_store,
    is_stylegan_folder,
    is_stylegan_manifest,
)
from swincli.errors import DataError, ResourceError, UsageError
from swincli.system.atomic_files import free_bytes, sync_folder
from swincli.system.leftovers import hidden_beside, leftovers, remove
from swincli.units import format_bytes

_STORE_FILES = re.compile(
    "|".join(map(re.escape, (MANIFEST_FILE, LABELS_FILE, ATTRIBUTES_FILE, CAPTIONS_FILE, LENGTHS_FILE)))
    + r"|images-\d+\.(npy|bin)"
)
_STYLEGAN_FILES = re.compile(rf"{re.escape(MANIFEST_FILE)}|{re.escape(DATASET_FILE)}|\d{{5}}|img\d+\.png")
_REPLACEABLE = "swincli replaces only stores, zips and folders that it made, and empty folders"


def check_outside(dest: Path, source: str) -> None:
    """Check that the destination is not the source, and that neither is inside the other.

    Raises:
        UsageError: It is, or one is.
    """
    if source.startswith("builtin:"):
        return
    is_folder = Path(source).is_dir()
    if Path(source).is_file() and dest.resolve() == Path(source).resolve():
        raise UsageError(f"{dest} is the source itself", "Choose another DEST.")
    if is_folder and dest.resolve().is_relative_to(Path(source).resolve()):
        hint = "Choose a DEST outside it, so that the store is never read as a source."
        raise UsageError(f"{dest} is inside the source {source}", hint)
    check_kept(dest, {Path(source): f"the source {source}"})


def check_kept(dest: Path, files: Mapping[Path, str]) -> None:
    """Check that no file or folder that is read lies in the destination, which is replaced as a whole.

    Args:
        dest: The destination.
        files: What is read, with its name in messages. Links are followed.

    Raises:
        UsageError: One lies in it.
    """
    real = dest.resolve()
    if not real.exists():
        return
    for file, name in files.items():
        if os.path.exists(file) and Path(os.path.realpath(file)).is_relative_to(real):  # noqa: PTH110 - never raises
            hint = f"Choose another DEST: what is in {dest} now would be removed."
            raise UsageError(f"{name} is inside {dest}", hint)


def check_destination(dest: Path, *, force: bool, as_file: bool = False) -> None:
    """Check that a destination may be written.

    Args:
        dest: The destination.
        force: Whether an earlier result there may be replaced.
        as_file: Whether the result is a zip and not a folder.

    Raises:
        DataError: The destination exists and must not be replaced. Only results of swincli and empty folders are
            replaced, and only with `force`.
    """
    real = dest.resolve()
    if not real.exists():
        return
    if real.is_dir() == as_file:
        raise DataError(f"{dest} is a {'folder' if as_file else 'file'}", "Choose another DEST.")
    if as_file:
        if not _is_stylegan_zip(real):
            raise DataError(f"{dest} was not made by swincli", f"Choose another DEST: {_REPLACEABLE}.")
    elif foreign := _foreign_file(real):
        raise DataError(f"{dest} is not just a store: it holds {foreign}", f"Choose another DEST: {_REPLACEABLE}.")
    if not force:
        raise DataError(f"{dest} exists", "Replace it with --force, or choose another DEST.")


def check_space(dest: Path, needed: int, why: str) -> None:
    """Check that the disk has enough free space.

    Args:
        dest: The destination.
        needed: Estimated size in bytes.
        why: What needs the space, such as "5,000 images at 256 px".

    Raises:
        ResourceError: The disk has less free space.
    """
    free = free_bytes(dest.resolve().parent)
    if needed > free:
        message = f"{dest}: {why} need {format_bytes(needed)}, the disk has {format_bytes(free)} free"
        raise ResourceError(message, "Free some space, choose another disk, or prepare fewer images with --max-images.")


@contextmanager
def staged(
    dest: Path, *, force: bool, as_file: bool = False, check: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """Yield a hidden folder or file that is renamed to `dest` when the block succeeds and removed when it fails.

    An earlier result at `dest` is removed only after the new one has its name. Leftovers of killed processes are
    removed first.

    Args:
        dest: The destination.
        force: Whether an earlier result there may be replaced.
        as_file: Whether to yield the path of a file to create; otherwise an empty folder.
        check: Raises DataError if the destination must not be written; `check_destination` by default.

    Raises:
        DataError: The check fails, before the block or after it.
    """
    real = dest.resolve()
    clear_leftovers(real)
    check = check or functools.partial(check_destination, force=force, as_file=as_file)
    check(dest)
    partial = hidden_beside(real, "partial")
    real.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.mkdir()
        place = partial / real.name if as_file else partial
        yield place
        sync_folder(partial)
        check(dest)
        _move_into_place(place, real)
        sync_folder(real.parent)
    finally:
        remove(partial)


def clear_leftovers(real: Path) -> None:
    """Remove the hidden files of killed processes. If a process was killed while replacing a store, restore the store.

    Only files of this machine's processes are removed. Processes of other machines on a shared disk may be alive.

    Args:
        real: The destination, with symbolic links resolved.
    """
    for replaced in leftovers(real, "replaced"):
        if not real.exists():
            replaced.rename(real)
        remove(replaced)
    for partial in leftovers(real, "partial"):
        remove(partial)


def _move_into_place(new: Path, real: Path) -> None:
    if not real.exists():
        new.rename(real)
        return
    old = hidden_beside(real, "replaced")
    real.rename(old)
    try:
        new.rename(real)
    except BaseException:
        old.rename(real)
        raise
    remove(old)


def _foreign_file(folder: Path) -> str | None:
    """Name of a file in a folder that swincli did not make; None if there is none.

    The folder may be a store, StyleGAN files, or a folder of several of these.
    """
    known = _STORE_FILES if is_store(folder) else _STYLEGAN_FILES if is_stylegan_folder(folder) else None
    for item in sorted(folder.iterdir()):
        if known is None:
            is_result = is_store(item) or is_stylegan_folder(item)
            prepared = item.is_dir() and is_result and _foreign_file(item) is None
            if not prepared and not _is_stylegan_zip(item):
                return item.name
        elif not known.fullmatch(item.name):
            return item.name
        elif item.is_dir() and known is _STYLEGAN_FILES:
            foreign = next((path.name for path in item.iterdir() if not known.fullmatch(path.name)), None)
            if foreign is not None:
                return f"{item.name}/{foreign}"
    return None


def _is_stylegan_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return is_stylegan_manifest(archive.read(MANIFEST_FILE))
    except (OSError, KeyError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return False

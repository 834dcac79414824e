"""Pictures in a folder and below it."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from swincli.data.images.rejected import ImageError
from swincli.data.sources.entries import Entry, Source, read_file
from swincli.data.sources.naming import is_hidden, printable
from swincli.errors import from_os_error


def open_folder(text: str, root: Path) -> Source:
    """List a folder and all below it; every folder once, by its real path before any link to it.

    Raises:
        ResourceError: a folder may not be read.
    """
    names: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting, links = [root], list[Path]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop()
        items, key = _scan(folder)
        if key in seen:
            continue
        seen.add(key)
        for item in items:
            if is_hidden(item.name):
                continue
            if _leads_to_folder(item):
                (links if item.is_symlink() else waiting).append(Path(item.path))
            elif item.is_symlink() or item.is_file():  # a link that leads nowhere is named among the rejected
                names.append(Path(item.path).relative_to(root).as_posix())
        links.sort(reverse=True)
    entries = [Entry(printable(name), partial(read_file, root / name, printable(name))) for name in sorted(names)]
    return Source(text, entries, read_file=partial(_read_any, root))


def _scan(folder: Path) -> tuple[list[os.DirEntry[str]], tuple[int, int]]:
    """What lies in a folder, and what tells it from any other."""
    try:
        status = folder.stat()
        with os.scandir(folder) as items:
            return list(items), (status.st_dev, status.st_ino)
    except OSError as error:
        raise from_os_error(error, f"reading {folder}") from error


def _leads_to_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _read_any(root: Path, name: str) -> bytes:
    path = root / name
    if not path.is_file():
        raise KeyError(name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(name, f"cannot be read: {error.strerror or error}") from error

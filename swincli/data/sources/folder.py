"""Source: the files in a folder and its subfolders."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from swincli.data.sources.entries import Entry, Source, as_image_error, read_file, reading
from swincli.data.sources.naming import is_hidden, printable


def open_folder(text: str, root: Path) -> Source:
    """List the files in a folder and its subfolders. A folder with links to it is listed once, by its real path.

    Raises:
        ResourceError: A folder cannot be read.
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
            if _is_folder(item):
                (links if item.is_symlink() else waiting).append(Path(item.path))
            elif item.is_symlink() or item.is_file():  # a broken link is listed, and later rejected
                names.append(Path(item.path).relative_to(root).as_posix())
        links.sort(reverse=True)
    entries = [
        Entry(printable(name), partial(read_file, root / name, printable(name)), root / name) for name in sorted(names)
    ]
    return Source(text, entries, read_file=partial(_read_any, root))


def _scan(folder: Path) -> tuple[list[os.DirEntry[str]], tuple[int, int]]:
    """Entries of a folder, and its identity: device and inode."""
    with reading(folder):
        status = folder.stat()
        with os.scandir(folder) as items:
            return list(items), (status.st_dev, status.st_ino)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself
        return False


def _read_any(root: Path, name: str) -> bytes:
    path = root / name
    if not path.is_file():
        raise KeyError(name)
    with as_image_error(name):
        return path.read_bytes()

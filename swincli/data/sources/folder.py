"""Source: the files in a folder and its subfolders."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from swincli.data.images.rejected import ImageError
from swincli.data.sources.entries import Entry, Source, as_image_error, read_file, reading
from swincli.data.sources.naming import PassedOver, printable
from swincli.system.hidden_files import is_hidden


def open_folder(text: str, root: Path) -> Source:
    """List the files in a folder and its subfolders. A folder with links to it is listed once, by its real path.

    A subfolder that cannot be read is listed like a file that cannot be read, and a warning names it.

    Raises:
        ResourceError: The folder itself cannot be read.
    """
    with reading(root):
        listing = _Listing(root, _scan(root))
    entries = [
        Entry(printable(name), partial(read_file, root / name, printable(name)), root / name) for name in listing.names
    ]
    entries += [Entry(printable(name), partial(_refuse, printable(name), why)) for name, why in listing.unreadable]
    return Source(
        text,
        sorted(entries, key=lambda entry: entry.name),
        read_file=partial(_read_any, root),
        notes=listing.passed_over.notes(text),
        warnings=tuple(f"{root / name}: {why}; the folder is skipped" for name, why in listing.unreadable),
    )


_Scanned = tuple[list[os.DirEntry[str]], tuple[int, int]]
"""Entries of a folder, and its identity: device and inode."""


class _Listing:
    """Walks through a folder.

    Attributes:
        names: Paths of its files, relative to it.
        unreadable: Subfolders that cannot be read, and why.
        passed_over: Counts hidden and system files and folders.
    """

    def __init__(self, root: Path, scanned: _Scanned) -> None:
        self.names: list[str] = []
        self.unreadable: list[tuple[str, str]] = []
        self.passed_over = PassedOver()
        self._root = root
        self._waiting, self._links = list[Path](), list[Path]()
        seen = {scanned[1]}
        self._add(scanned[0])
        while self._waiting or self._links:
            folder = self._waiting.pop() if self._waiting else self._links.pop()
            try:
                items, key = _scan(folder)
            except OSError as error:
                self.unreadable.append((self._name(folder), f"cannot be read: {error.strerror or error}"))
                continue
            if key not in seen:
                seen.add(key)
                self._add(items)

    def _add(self, items: list[os.DirEntry[str]]) -> None:
        for item in items:
            name = self._name(Path(item.path))
            if is_hidden(item.name):
                self.passed_over.add(name)
            elif _is_folder(item):
                (self._links if item.is_symlink() else self._waiting).append(Path(item.path))
            elif item.is_symlink() or item.is_file():  # a broken link is listed, and later rejected
                self.names.append(name)
        self._links.sort(reverse=True)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()


def _refuse(name: str, why: str) -> bytes:
    raise ImageError(name, why)


def _scan(folder: Path) -> _Scanned:
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

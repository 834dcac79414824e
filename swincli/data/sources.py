"""Where pictures come from: a folder, a zip, or artwork that comes along with swincli.

Every kind becomes a `Source`: a sorted list of entries, each with a name and a way to read its bytes. Hidden files and
what operating systems leave behind (Thumbs.db, __MACOSX) are passed over without a word.
"""

from __future__ import annotations

import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

from swincli.data.images import HEAD_BYTES, require_image
from swincli.data.rejection import ImageError
from swincli.errors import DataError, from_os_error
from swincli.units import format_bytes

LARGEST_FILE = 512 * 2**20  # a bound on the memory of one file
_LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "system volume information"}
_SOURCES_HINT = "SOURCE is a folder of pictures, a .zip of them, builtin:emoji or builtin:emoji-faces."


@dataclass(frozen=True)
class Entry:
    """A file of a source: its path inside it, and `read`, which raises `ImageError` where it is of no use."""

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Source:
    """Files in the order of their names.

    Attributes:
        text: The source as it was asked for.
        entries: Its files, by name.
        credit: Who made the pictures, where they come along with swincli.
        close: Lets go of an open archive; leaving the `with` block calls it.
    """

    text: str
    entries: list[Entry]
    credit: str | None = None
    close: Callable[[], None] = field(default=lambda: None, repr=False)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def locate(self, name: str) -> str:
        """Name an entry as a person would look for it: by the path of its file, or of the archive and the entry."""
        return f"{self.text.rstrip('/')}/{name}" if Path(self.text).is_dir() else f"{self.text}:{name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_source(text: str) -> Source:
    """Open a folder (with its subfolders), a .zip or a `builtin:` name.

    Raises:
        DataError: there is no such thing, it is damaged, or it holds no file at all.
        UsageError: an unknown builtin name.
    """
    if text.startswith("builtin:"):
        from swincli.data.builtin import open_builtin

        return open_builtin(text)
    path = Path(text)
    if path.is_dir():
        if (path / "manifest.json").is_file() and (path / "images-00000.npy").is_file():
            raise DataError(f"{text} is a store already", "Prepare from the pictures that it was made of.")
        source = Source(text, _folder_entries(path))
    elif path.is_file():
        source = _open_zip(text, path)
    else:
        raise DataError(f"{text} does not exist", _SOURCES_HINT)
    if not source.entries:
        source.close()
        raise DataError(f"{text} holds no files", _SOURCES_HINT)
    return source


def read_file(path: Path, name: str) -> bytes:
    """Read a picture's file, as far as it can be one.

    Raises:
        ImageError: no regular file, unreadable, too large, or by its first bytes not an image.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(name, "not a file")
        with path.open("rb") as stream:
            return _read_image(stream, status.st_size, name)
    except OSError as error:
        raise ImageError(name, f"cannot be read: {error.strerror or error}") from error


def _read_image(stream: IO[bytes], size: int, name: str) -> bytes:
    head = stream.read(HEAD_BYTES)
    require_image(head, name)
    if size > LARGEST_FILE:
        raise ImageError(name, f"too large: a file of {format_bytes(size)}")
    return head + stream.read()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def _folder_entries(root: Path) -> list[Entry]:
    """List a folder and all below it; every folder once, by its real path before any link to it."""
    names: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting, links = [root], list[Path]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for item in _scan(folder):
            if _is_hidden(item.name):
                continue
            if item.is_dir():
                (links if item.is_symlink() else waiting).append(Path(item.path))
            elif item.is_file() or item.is_symlink():  # a dangling link is named among the rejected
                names.append(Path(item.path).relative_to(root).as_posix())
        links.sort(reverse=True)
    return [Entry(printable(name), partial(read_file, root / name, printable(name))) for name in sorted(names)]


def printable(name: str) -> str:
    """Spell out the bytes of a file's name that are no UTF-8, for JSON knows no such thing."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return list(items)
    except OSError as error:
        raise from_os_error(error, f"reading {folder}") from error


def _open_zip(text: str, path: Path) -> Source:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        kind = "a damaged zip" if path.suffix.lower() == ".zip" else "neither a folder nor a .zip"
        raise DataError(f"{text} is {kind}", _SOURCES_HINT) from error
    except OSError as error:
        raise from_os_error(error, f"reading {text}") from error
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        parts = [part for part in PurePosixPath(info.filename.lstrip("/")).parts if part != "."]
        if not info.is_dir() and parts and not any(map(_is_hidden, parts)):
            members["/".join(parts)] = info
    entries = [Entry(name, partial(_read_member, archive, members[name], name)) for name in sorted(members)]
    return Source(text, entries, close=archive.close)


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    if info.flag_bits & 0x1:
        raise ImageError(name, "encrypted")
    try:
        with archive.open(info) as stream:
            return _read_image(stream, info.file_size, name)
    except NotImplementedError as error:
        raise ImageError(name, f"cannot be unpacked: {error}") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
        raise ImageError(name, "damaged: the zip's copy of it cannot be unpacked") from error

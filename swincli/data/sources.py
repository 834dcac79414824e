"""Where pictures come from: a folder, a zip, or artwork that comes along with swincli.

Every kind becomes a `Source`: a sorted list of entries, each with a name and a way to read its bytes. Hidden files and
what operating systems leave behind (Thumbs.db, __MACOSX) are passed over without a word.
"""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from functools import partial
from pathlib import Path, PurePosixPath

from swincli.data.builtin import open_builtin
from swincli.data.entries import Entry, Source, read_file, read_image
from swincli.data.rejection import ImageError
from swincli.errors import DataError, from_os_error

_LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "system volume information"}
_SOURCES_HINT = "SOURCE is a folder of pictures, a .zip of them, builtin:emoji or builtin:emoji-faces."


def open_source(text: str) -> Source:
    """Open a folder (with its subfolders), a .zip or a `builtin:` name.

    Raises:
        DataError: there is no such thing, it is damaged, or it holds no file at all.
        UsageError: an unknown builtin name.
    """
    if text.startswith("builtin:"):
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
            return read_image(stream, info.file_size, name)
    except NotImplementedError as error:
        raise ImageError(name, f"cannot be unpacked: {error}") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
        raise ImageError(name, "damaged: the zip's copy of it cannot be unpacked") from error

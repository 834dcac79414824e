"""Source: the files in a zip."""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from functools import partial
from pathlib import Path

from swincli.data.images.rejected import ImageError
from swincli.data.sources.entries import COPY_AGAIN, Entry, Source, read_exactly, read_image
from swincli.data.sources.naming import PassedOver, member_name
from swincli.errors import DataError, from_os_error

UNPACKING_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


def open_zip_file(text: str, path: Path) -> zipfile.ZipFile:
    """Open a zip for reading.

    Raises:
        DataError: The zip is damaged.
        ResourceError: The zip cannot be read.
    """
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        if error.errno is not None:
            raise from_os_error(error, f"reading {text}") from error
        raise DataError(f"{text} is a damaged zip: {error}", COPY_AGAIN) from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
        raise DataError(f"{text} is a damaged zip: {error}", COPY_AGAIN) from error


class _OpenZip:
    """An open zip. A process that was forked from the one that opened it opens its own: they would share a position.

    Threads share it, because `zipfile` locks each read.
    """

    def __init__(self, text: str, path: Path) -> None:
        self._text, self._path = text, path.absolute()
        self._archive, self._process = open_zip_file(text, path), os.getpid()

    def archive(self) -> zipfile.ZipFile:
        """This process's own."""
        if self._process != os.getpid():
            self._archive, self._process = open_zip_file(self._text, self._path), os.getpid()
        return self._archive

    def close(self) -> None:
        """Close it in this process."""
        self._archive.close()


def open_zip(text: str, path: Path) -> Source:
    """List the files in a zip.

    Raises:
        DataError: The zip is damaged.
        ResourceError: The zip cannot be read.
    """
    archive = _OpenZip(text, path)
    members: dict[str, zipfile.ZipInfo] = {}
    passed_over = PassedOver()
    for info in archive.archive().infolist():
        name = member_name(info.filename, passed_over)
        if name is not None and not info.is_dir():
            if name in members:
                passed_over.add_replaced(name)
            members[name] = info
    entries = [Entry(name, partial(_read_picture, archive, members[name], name)) for name in sorted(members)]
    read_any = partial(_read_any, archive, members)
    return Source(text, entries, close=archive.close, read_file=read_any, notes=passed_over.notes(text))


def _read_picture(archive: _OpenZip, info: zipfile.ZipInfo, name: str) -> bytes:
    return _read(archive, info, name, is_picture=True)


def _read_any(archive: _OpenZip, members: dict[str, zipfile.ZipInfo], name: str) -> bytes:
    return _read(archive, members[name], name, is_picture=False)


def _read(archive: _OpenZip, info: zipfile.ZipInfo, name: str, *, is_picture: bool) -> bytes:
    if info.flag_bits & 0x1:
        raise ImageError(name, "encrypted")
    try:
        with archive.archive().open(info) as stream:
            return (read_image if is_picture else read_exactly)(stream, info.file_size, name)
    except NotImplementedError as error:
        raise ImageError(name, f"cannot be unpacked: {error}") from error
    except UNPACKING_ERRORS as error:
        raise ImageError(name, "damaged: the zip's copy of it cannot be unpacked") from error

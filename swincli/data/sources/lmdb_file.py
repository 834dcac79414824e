"""Pictures in an LMDB: LSUN's, or those of stylegan2-pytorch and the original StyleSwin."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import IO, Final

from swincli.data.images.rejected import ImageError
from swincli.data.sources.entries import Entry, Source, read_image
from swincli.data.sources.lmdb_tree import TreeError, Value, read_tree
from swincli.data.sources.naming import printable
from swincli.errors import DataError, from_os_error

LMDB_FILE: Final = "data.mdb"
_SIZED_KEY: Final = re.compile(rb"(\d{1,5})-\d{5,}")
_LENGTH_KEY: Final = b"length"


def open_lmdb(text: str, path: Path, resolution: int | None) -> Source:
    """List the pictures of an LMDB.

    LSUN has a picture under each key. stylegan2-pytorch has each picture in several sizes, under keys such as
    "256-00012", and their number under "length": of those the size that is asked for is taken, else the largest.

    Args:
        text: The source as it was asked for.
        path: The file, or the folder with a data.mdb.
        resolution: The size that is wanted, where there are several.

    Raises:
        DataError: it is damaged.
        ResourceError: it may not be read.
    """
    try:
        file = path / LMDB_FILE if path.is_dir() else path
        stream = file.open("rb")
    except OSError as error:
        raise from_os_error(error, f"reading {text}") from error
    try:
        values = dict(read_tree(stream, file.stat().st_size))
        notes: tuple[str, ...] = ()
        if _LENGTH_KEY in values:
            values, notes = _of_one_size(text, stream, values, resolution)
    except TreeError as error:
        stream.close()
        raise DataError(f"{text} is a damaged LMDB, or none that is read: {error}", "Copy it again.") from error
    except OSError as error:
        stream.close()
        raise from_os_error(error, f"reading {text}") from error
    names = {key: printable(key.decode("utf-8", "surrogateescape")) for key in sorted(values)}
    entries = [Entry(name, partial(_read, stream, values[key], name)) for key, name in names.items()]
    return Source(text, entries, close=stream.close, notes=notes, all_pictures=True)


def _of_one_size(
    text: str, stream: IO[bytes], values: dict[bytes, Value], resolution: int | None
) -> tuple[dict[bytes, Value], tuple[str, ...]]:
    """Keep the pictures of one size, and say which and how many."""
    sizes: dict[int, dict[bytes, Value]] = {}
    for key, value in values.items():
        if match := _SIZED_KEY.fullmatch(key):
            sizes.setdefault(int(match[1]), {})[key] = value
    if not sizes:
        raise TreeError("no key in it is like 256-00012")
    side = resolution if resolution in sizes else max(sizes)
    notes = [f"{text} holds its pictures at {', '.join(map(str, sorted(sizes)))} px; those at {side} px are taken"]
    length = values[_LENGTH_KEY]
    stream.seek(length.start)
    promised = stream.read(min(length.size, 20))
    if promised != str(len(sizes[side])).encode():
        count = printable(promised.decode("utf-8", "replace"))
        notes.append(f"{text} promises {count} pictures and has {len(sizes[side]):,} of {side} px: was it finished?")
    return sizes[side], tuple(notes)


def _read(stream: IO[bytes], value: Value, name: str) -> bytes:
    try:
        stream.seek(value.start)
        return read_image(stream, value.size, name)
    except OSError as error:
        raise ImageError(name, f"cannot be read: {error.strerror or error}") from error

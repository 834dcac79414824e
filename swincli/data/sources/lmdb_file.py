"""Source: an LMDB of LSUN, or of stylegan2-pytorch and the original StyleSwin."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import IO, Final

from swincli.data.sources.entries import COPY_AGAIN, Entry, SharedFile, Source, as_image_error, read_image, reading
from swincli.data.sources.lmdb_tree import LmdbError, ValueRange, read_tree
from swincli.data.sources.naming import printable
from swincli.errors import DataError

LMDB_FILE: Final = "data.mdb"
_SIZED_KEY: Final = re.compile(rb"(\d{1,5})-\d{5,}")
_LENGTH_KEY: Final = b"length"


def open_lmdb(text: str, path: Path, resolution: int | None) -> Source:
    """List the pictures of an LMDB.

    LSUN has one picture per key. stylegan2-pytorch has each picture in several sizes, under keys such as "256-00012",
    and the number of pictures under "length". Of the sizes, `resolution` is used if it exists, else the largest.

    Args:
        text: The source as typed.
        path: The file, or the folder with a data.mdb.
        resolution: The preferred size in pixels.

    Raises:
        DataError: The LMDB is damaged.
        ResourceError: The LMDB cannot be read.
    """
    with reading(text):
        file = path / LMDB_FILE if path.is_dir() else path
        stream = file.open("rb")
    try:
        with reading(text):
            values = dict(read_tree(stream, file.stat().st_size))
            notes: tuple[str, ...] = ()
            if _LENGTH_KEY in values:
                values, notes = _select_size(text, stream, values, resolution)
    except LmdbError as error:
        stream.close()
        raise DataError(f"{text} is a damaged LMDB or of an unsupported kind: {error}", COPY_AGAIN) from error
    except BaseException:
        stream.close()
        raise
    names = {key: printable(key.decode("utf-8", "surrogateescape")) for key in sorted(values)}
    shared = SharedFile(stream)
    entries = [Entry(name, partial(_read, shared, values[key], name)) for key, name in names.items()]
    return Source(text, entries, close=shared.close, notes=notes, all_pictures=True)


def _select_size(
    text: str, stream: IO[bytes], values: dict[bytes, ValueRange], resolution: int | None
) -> tuple[dict[bytes, ValueRange], tuple[str, ...]]:
    """Keep the pictures of one size; return them and notes for the user."""
    sizes: dict[int, dict[bytes, ValueRange]] = {}
    for key, value in values.items():
        if match := _SIZED_KEY.fullmatch(key):
            sizes.setdefault(int(match[1]), {})[key] = value
    if not sizes:
        raise LmdbError('it has a key "length" but no key like 256-00012')
    side = resolution if resolution in sizes else max(sizes)
    notes = [f"{text} holds its pictures at {', '.join(map(str, sorted(sizes)))} px; using those at {side} px"]
    length = values[_LENGTH_KEY]
    stream.seek(length.start)
    promised = stream.read(min(length.size, 20))
    if promised != str(len(sizes[side])).encode():
        count = printable(promised.decode("utf-8", "replace"))
        notes.append(
            f"{text} should have {count} pictures, but has {len(sizes[side]):,} at {side} px: it may be incomplete"
        )
    return sizes[side], tuple(notes)


def _read(file: SharedFile, value: ValueRange, name: str) -> bytes:
    with as_image_error(name):
        return file.read_at(value.start, lambda stream: read_image(stream, value.size, name))

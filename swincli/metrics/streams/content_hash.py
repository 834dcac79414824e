"""The content hash of a folder or archive, remembered as long as its files are the same by the system's records."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from swincli.data.sources.entries import Entry, Source
from swincli.data.sources.lmdb_file import LMDB_FILE
from swincli.errors import SwincliError
from swincli.system.atomic_files import write_atomically
from swincli.system.cache import cache_places, write_cached

FORMAT = 1
SETTLED = 2.0  # seconds: a file that was changed later may change again without a new time, on some file systems


def remembered_hash(source: Source, entries: Sequence[Entry], compute: Callable[[], str]) -> str:
    """The hash that `compute` gives, or gave before for the same files.

    Files are the same if their names, sizes, inodes, and times of the last change of content and of the inode are. The
    last one cannot be set by a program, so a file that takes another's place is noticed even if it has its name, size
    and date. On Windows there is no such time; there a file that is overwritten in place, with its date put back, is
    not noticed.

    Args:
        source: A folder or archive.
        entries: Those of its entries that are hashed.
        compute: Reads the entries and returns their hash.
    """
    place = _files_of(source, entries)
    state = _state(place, entries)
    if state is None:
        return compute()
    name = Path("content", f"{_digest([FORMAT, str(Path(source.text).absolute())])}.json")
    for folder in cache_places():
        with suppress(OSError, ValueError, TypeError, KeyError):
            known = json.loads((folder / name).read_text(encoding="utf-8"))
            if known["state"] == state:
                return str(known["content_hash"])
    found = compute()
    if state == _state(place, entries):
        content = json.dumps({"state": state, "content_hash": found})
        with suppress(SwincliError):
            write_cached(name, partial(write_atomically, write=lambda path: path.write_text(content, encoding="utf-8")))
    return found


def _files_of(source: Source, entries: Sequence[Entry]) -> list[Path]:
    """The files of a folder or list, or the file of an archive."""
    own = [entry.file for entry in entries if entry.file is not None]
    if len(own) == len(entries):
        return own
    path = Path(source.text)
    return [path / LMDB_FILE if path.is_dir() else path]


def _state(files: Sequence[Path], entries: Sequence[Entry]) -> str | None:
    """A hash of all that the system says about the files; None if one is missing or was changed just now."""
    latest = time.time_ns() - int(SETTLED * 1e9)
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(f"{entry.name}\0".encode(errors="surrogateescape"))
    for file in files:
        try:
            status = file.stat()
        except OSError:
            return None
        if max(status.st_mtime_ns, status.st_ctime_ns) > latest:
            return None
        digest.update(
            f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_dev} {status.st_ino}\n".encode()
        )
    return digest.hexdigest()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]

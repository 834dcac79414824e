"""Source: a text file with one path per line."""

from __future__ import annotations

import os
import unicodedata
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from swincli.data.sources.entries import Entry, Source, read_file, reading
from swincli.data.sources.naming import printable
from swincli.errors import DataError

_LONGEST: Final = 4096  # bytes of a path, on Linux
_HINT: Final = "A list has one path per line, relative to the folder of the list."


def open_list(text: str, path: Path) -> Source:
    """Open a list of paths. Paths are relative to the folder of the list; repeated paths count once.

    Raises:
        DataError: A line is not a path.
        ResourceError: The list cannot be read.
    """
    with reading(text):
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    paths: dict[str, Path] = {}
    for number, line in enumerate(lines, start=1):
        spelled = line.strip()
        if not spelled:
            continue
        if b"\0" in spelled or len(spelled) > _LONGEST:
            raise DataError(f"{text}: line {number} is not a path", _HINT)
        name = str(PurePosixPath(os.fsdecode(spelled)))
        paths[name] = path.parent / name
    entries = []
    for name in sorted(paths):
        file = _on_disk(paths[name])
        entries.append(Entry(printable(name), partial(read_file, file, printable(name)), file))
    return Source(text, entries, all_pictures=True)


def _on_disk(path: Path) -> Path:
    """The path as the disk has it. A name there may be in another form of Unicode: macOS decomposes names."""
    if path.exists():
        return path
    spellings = [path.parent / unicodedata.normalize(form, path.name) for form in ("NFC", "NFD")]
    return next((spelled for spelled in spellings if spelled.exists()), path)

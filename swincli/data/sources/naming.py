"""Names of entries: what is passed over is counted; escapes for what cannot be printed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath

from swincli.system.hidden_files import is_hidden
from swincli.units import format_items, format_names

_MAC_COPY = "._"  # how the names of macOS's files of metadata begin, one beside every file
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class PassedOver:
    """Counts what a source passes over: hidden and system files and folders, and files with the name of a later one.

    A hidden or system folder counts once.
    """

    def __init__(self) -> None:
        self._replaced: Counter[str] = Counter()
        self._paths: set[str] = set()
        self._names: Counter[str] = Counter()

    def add(self, path: str) -> None:
        """Count a path of the source, unless it is in a folder that was counted."""
        parts = PurePosixPath(path).parts
        place = next(index for index, part in enumerate(parts) if is_hidden(part))
        above = "/".join(parts[: place + 1])
        if above not in self._paths:
            self._paths.add(above)
            name = parts[place]
            self._names["._*" if name.startswith(_MAC_COPY) else printable(name)] += 1

    def add_replaced(self, name: str) -> None:
        """Count a file of which a later one has the name."""
        self._replaced[name] += 1

    def notes(self, source: str) -> tuple[str, ...]:
        """Messages that count and name them; empty if there were none."""
        notes = []
        if self._names:
            found = format_items(self._names.total(), "hidden or system item")
            named = [f"{count:,} {name}" for name, count in self._names.most_common()]
            notes.append(f"{source}: passed over {found} ({format_names(named, 5)})")
        if self._replaced:
            found, have = format_items(self._replaced.total(), "file"), "has" if self._replaced.total() == 1 else "have"
            of = f"the name of a later one ({format_names(list(self._replaced), 5)})"
            notes.append(f"{source}: {found} {have} {of}; the last one of a name counts")
        return tuple(notes)


def printable(name: str) -> str:
    """Escape bytes of a file name that are not UTF-8, and control characters, which could steer a terminal."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def member_name(path: str, passed_over: PassedOver) -> str | None:
    """Name of an archive member: its path without a leading slash; None for hidden and system files, and without one.

    ".." stays in the name. This is safe, because no file is unpacked under it.

    Args:
        path: The path in the archive.
        passed_over: Counts the hidden and system files.
    """
    parts = [part for part in PurePosixPath(path.replace("\\", "/").lstrip("/")).parts if part != "."]
    if any(map(is_hidden, parts)):
        passed_over.add("/".join(parts))
        return None
    return printable("/".join(parts)) if parts else None

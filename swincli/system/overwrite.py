"""The rule for existing files: a command replaces what it made itself; anything else only with `--force`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path

from swincli.errors import DataError, UsageError

FORCE_HINT = "Overwrite with --force, or choose another name."


def check_overwrite(
    paths: Iterable[Path],
    *,
    force: bool,
    folders: bool = False,
    is_own: Callable[[Path], bool] | None = None,
    reason: str = "exists, and was not made by this command",
    hint: str = FORCE_HINT,
) -> None:
    """Check, before any work is done, that files may be written.

    Every command asks here for the files that it will write or remove. `data/store/staging` has the rule for folders.

    Args:
        paths: The files to write.
        force: Whether `--force` was given.
        folders: Whether a path may be a folder, such as a store.
        is_own: Whether an existing file was made by the same command, by the file's own note; by default none is.
        reason: End of the message about a file that must not be replaced.
        hint: Hint of that error.

    Raises:
        DataError: a path is a folder; or, without `force`, it exists and is not the command's own.
    """
    foreign = []
    for path in paths:
        if path.is_dir() and not folders:
            raise DataError(f"{path}: is a folder", "Choose another name.")
        if not force and os.path.lexists(path) and not (is_own is not None and is_own(path)):
            foreign.append(path)
    if foreign:
        more = f", and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
        raise DataError(f"{foreign[0]}: {reason}{more}", hint)


def check_distinct(paths: Iterable[Path], hint: str) -> None:
    """Check, before any work is done, that no two files of a command would be the same one.

    Raises:
        UsageError: two would.
    """
    seen: set[Path] = set()
    for path in paths:
        real = path.resolve()
        if real in seen:
            raise UsageError(f"{path}: two results would be written to it", hint)
        seen.add(real)


def check_utf8(path: Path) -> None:
    """Check that a path is text: files of models cannot be opened under another one.

    Raises:
        UsageError: it has bytes that are not UTF-8.
    """
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = text.encode("utf-8", "backslashreplace").decode()
        hint = "Models cannot be opened there. Rename it, or choose another name."
        raise UsageError(f"{shown}: the name has bytes that are not UTF-8", hint) from None


def numbered(path: Path) -> Iterator[Path]:
    """Names to try for output that the user has not named: samples, samples-2, samples-3, ...; walk.mp4, walk-2.mp4."""
    yield path
    yield from (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))

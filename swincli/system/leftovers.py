"""Hidden names of unfinished files and folders, `.NAME.partial-HOST-PID`, and what killed processes left of them."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import psutil

Kind = Literal["partial", "replaced"]

_LONGEST = 255  # bytes of a file name
_PROCESS_DIGITS = 10
_HIDDEN = re.compile(r"\.(?P<name>.+)\.(?P<kind>partial|replaced)-((?P<host>[^\W_]+)-)?(?P<pid>\d+)", re.DOTALL)


def hidden_beside(path: Path, kind: Kind) -> Path:
    """A hidden path beside `path` with the names of this machine and process. A name that is too long is cut."""
    end = f".{kind}-{host()}-{os.getpid()}"
    return path.with_name(f".{_shortened(path.name, kind)}{end}")


def leftovers(path: Path, kind: Kind) -> list[Path]:
    """Hidden paths of `path` that dead processes left beside it."""
    name = _shortened(path.name, kind)
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    return [found for found, its_name in _dead(beside, kind) if its_name == name]


def remove_leftovers(folder: Path) -> None:
    """Remove unfinished files and folders of dead processes anywhere in a folder. What cannot be removed stays."""
    for found, _ in _dead(folder.rglob(".*.partial-*"), "partial"):
        remove(found)


def remove(path: Path) -> None:
    """Remove a folder or a file. Errors of the system are ignored."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def host() -> str:
    """Letters and digits of this machine's name, for file names."""
    return "".join(letter for letter in platform.node() if letter.isalnum()) or "here"


def _dead(paths: Iterable[Path], kind: Kind) -> list[tuple[Path, str]]:
    """The hidden paths of this machine's dead processes, each with the name of the file that it was to become.

    Processes of other machines on a shared disk may be alive. Earlier versions wrote no machine. A process with our own
    number is an earlier one: in a container, numbers repeat.
    """
    found = []
    for path in list(paths):
        match = _HIDDEN.fullmatch(path.name)
        if match is None or match["kind"] != kind or match["host"] not in (None, host()):
            continue
        number = int(match["pid"][:_PROCESS_DIGITS])
        if number == os.getpid() or not psutil.pid_exists(number):
            found.append((path, match["name"]))
    return found


def _shortened(name: str, kind: Kind) -> str:
    space = _LONGEST - len(f"..{kind}--{host()}".encode()) - _PROCESS_DIGITS
    return os.fsencode(name)[-space:].decode("utf-8", "surrogateescape")

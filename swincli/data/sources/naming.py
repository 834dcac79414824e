"""Names of pictures: which of them are passed over, and how they are spelled."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "system volume information"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by an operating system."""
    return (name.startswith(".") and name != "..") or name.lower() in _LITTER


def printable(name: str) -> str:
    """Spell out what of a file's name is no UTF-8, which JSON does not know, or would steer a terminal."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def member_name(path: str) -> str | None:
    """The name of a file in an archive: its path without a beginning at the root; None for what is passed over.

    Steps upwards stay as they are: nothing is unpacked under this name.
    """
    parts = [part for part in PurePosixPath(path.replace("\\", "/").lstrip("/")).parts if part != "."]
    return printable("/".join(parts)) if parts and not any(map(is_hidden, parts)) else None

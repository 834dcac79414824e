"""Names of entries: hidden and system files that are skipped, and escapes for characters that cannot be printed."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "system volume information"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden or belongs to the operating system."""
    return (name.startswith(".") and name != "..") or name.lower() in _SYSTEM_FILES


def printable(name: str) -> str:
    """Escape bytes of a file name that are not UTF-8, and control characters, which could steer a terminal."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def member_name(path: str) -> str | None:
    """Name of an archive member: its path without a leading slash; None for hidden and system files.

    ".." stays in the name. This is safe, because no file is unpacked under it.
    """
    parts = [part for part in PurePosixPath(path.replace("\\", "/").lstrip("/")).parts if part != "."]
    return printable("/".join(parts)) if parts and not any(map(is_hidden, parts)) else None

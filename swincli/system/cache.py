"""The folder in which swincli keeps what it can make or fetch again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """`$SWINCLI_CACHE`, else `swincli` in the user's cache folder of this platform; it need not exist."""
    if given := os.environ.get("SWINCLI_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "swincli"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/swincli"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swincli"

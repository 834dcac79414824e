"""The cache folder: files that swincli can compute or download again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """`$SWINCLI_CACHE`, or `swincli` in the platform's user cache folder. The folder may not exist yet."""
    if given := os.environ.get("SWINCLI_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "swincli"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/swincli"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swincli"

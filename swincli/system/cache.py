"""The cache: files that swincli can compute or download again, in the user's cache folder or a temporary one.

A machine may have no home folder, an unknown user, or a home that is read-only, as containers and clusters do. Then
cached files go to a private folder in the temporary folder. Without that one either, nothing is cached.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from swincli.errors import ResourceError, SwincliError

COMPILER_CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""PyTorch's name of the environment variable for compiled code; Triton's kernels lie in the same folder."""

_HINT = "Set SWINCLI_CACHE to a folder that can be written."


def cache_folder() -> Path | None:
    """`$SWINCLI_CACHE`, or `swincli` in the platform's user cache folder. The folder may not exist yet.

    Returns:
        None if the user has no home folder.
    """
    try:
        if given := os.environ.get("SWINCLI_CACHE"):
            return Path(given).expanduser()
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "swincli"
        if sys.platform == "darwin":
            return Path.home() / "Library/Caches/swincli"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swincli"
    except RuntimeError:  # pathlib's error without a home folder
        return None


def cache_places() -> list[Path]:
    """The folders that may hold cached files, in the order in which they are tried.

    These are `cache_folder()` and a private folder in the temporary folder; with `$SWINCLI_CACHE`, only that one.
    """
    chosen = cache_folder()
    places = [] if chosen is None else [chosen]
    if chosen is None or not os.environ.get("SWINCLI_CACHE"):
        places += _private_temporary_folder()
    return places


def find_cached(name: Path, is_right: Callable[[Path], bool]) -> Path | None:
    """The first cached file of a name, such as `reference/1f0c.npz`, that passes a check; None without one."""
    for place in cache_places():
        with suppress(OSError, SwincliError):
            if (place / name).is_file() and is_right(place / name):
                return place / name
    return None


def write_cached(name: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` write a file, atomically, under the first path where it can, and return that path.

    Raises:
        ResourceError: there is no such path; the error of the first one.
    """
    first: SwincliError | None = None
    for place in cache_places():
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(place / name)
        except SwincliError as error:
            first = first or error
        except OSError as error:
            first = first or ResourceError(f"{place}: {error.strerror or error}", _HINT)
        else:
            return place / name
    raise first or ResourceError("no folder for cached files: no home folder and no temporary folder", _HINT)


def compiled_code_folder() -> Path | None:
    """Where torch.compile keeps its code for the next run: the folder that the user has chosen, or one in the cache.

    Returns:
        None without either; PyTorch then takes a folder in the temporary one.
    """
    chosen = os.environ.get(COMPILER_CACHE)
    return Path(chosen) if chosen else cached_folder("compiled")


def cached_folder(name: str) -> Path | None:
    """A folder of the cache for files that libraries write; it is made if needed. None if there is no place for it."""
    for place in cache_places():
        with suppress(OSError):
            (place / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(place / name, os.W_OK):
                return place / name
    return None


def _private_temporary_folder() -> list[Path]:
    """The folder in the temporary folder, unless somebody else has made it or may write there; it may not exist yet."""
    user = os.getuid() if hasattr(os, "getuid") else None
    try:
        folder = Path(tempfile.gettempdir()) / ("swincli-cache" if user is None else f"swincli-cache-{user}")
    except FileNotFoundError:  # tempfile's error without any folder that can be written
        return []
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return [folder]
    except OSError:
        return []
    is_own = stat.S_ISDIR(status.st_mode) and (user is None or (status.st_uid == user and not status.st_mode & 0o022))
    return [folder] if is_own else []

"""Bodies of requests, limited before they are in memory, and files that wait to be downloaded."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from pathlib import Path

from starlette.requests import Request

from swincli.errors import DataError
from swincli.units import format_bytes

MOST_BYTES = 64 * 2**20  # of an upload
MOST_JSON = 2 * 2**20
MOST_FILES = 20  # that wait to be downloaded


async def read_body(request: Request, most: int) -> bytes:
    """The body of a request.

    Raises:
        DataError: it is larger than `most` bytes; no more than these are read.
    """
    too_large = DataError(f"upload: larger than {format_bytes(most)}", "Make the picture smaller first.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_large
        parts.append(part)
    return b"".join(parts)


class ReadyFiles:
    """Finished videos in a temporary folder, under names that cannot be guessed; the oldest ones go."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._files: dict[str, Path] = {}

    def new(self, suffix: str) -> tuple[str, Path]:
        """A name, and the path of its file, which does not exist yet."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="swincli-view-"))
        name = secrets.token_urlsafe(16)
        self._files[name] = self._folder / f"{len(self._files)}-{name}{suffix}"
        while len(self._files) > MOST_FILES:
            self._files.pop(next(iter(self._files))).unlink(missing_ok=True)
        return name, self._files[name]

    def get(self, name: str) -> Path:
        """The file of a name.

        Raises:
            DataError: there is none.
        """
        path = self._files.get(name)
        if path is None or not path.is_file():
            raise DataError("this file is not here any more", "Make it again.")
        return path

    def clear(self) -> None:
        """Remove all files."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

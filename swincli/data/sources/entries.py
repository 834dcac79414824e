"""Source of pictures: its entries in the order of their names, and functions that read their bytes."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from swincli.data.images.formats import HEAD_BYTES, require_image
from swincli.data.images.rejected import ImageError
from swincli.errors import from_os_error
from swincli.units import format_bytes

LARGEST_FILE = 512 * 2**20  # limits the memory of one file
COPY_AGAIN: Final = "Copy or download it again."


def _no_file(name: str) -> bytes:
    raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a source.

    Attributes:
        name: Its path inside the source.
        read: Reads its bytes. Raises `ImageError` if it cannot be read or is no image.
        file: The file, if it is one of the file system and not inside an archive.
    """

    name: str
    read: Callable[[], bytes]
    file: Path | None = None

    def require_image(self) -> None:
        """Check by its first bytes that it is an image; of a file of the file system only these are read.

        Raises:
            ImageError: it cannot be read or is no image.
        """
        if self.file is None:
            self.read()
            return
        with as_image_error(self.name):
            if not stat.S_ISREG(self.file.stat().st_mode):
                raise ImageError(self.name, "not a file")
            with self.file.open("rb") as stream:
                require_image(stream.read(HEAD_BYTES), self.name)


@dataclass(frozen=True)
class Source:
    """Files of a folder, archive, database, array or list, in the order of their names.

    Attributes:
        text: The source as typed.
        entries: Its files, sorted by name.
        credit: Author and licence of built-in pictures; None for others.
        close: Closes an open archive. Leaving the `with` block calls it.
        read_file: Reads any file of the source by its path, not only images. Raises KeyError if there is none, and
            `ImageError` if it cannot be read.
        notes: Messages for the user about how the source was read.
        warnings: What could not be read of it, such as a folder.
        label_file: Path of a label file inside the source; None without one.
        caption_file: Path of a file of captions inside the source; None without one.
        all_pictures: Whether every entry is meant to be a picture, whatever its suffix.
        forward_only: Whether a step back reads the source from its start again, as in a zip. Such entries are read in
            order, by one thread.
    """

    text: str
    entries: list[Entry]
    credit: str | None = None
    close: Callable[[], None] = field(default=lambda: None, repr=False)
    read_file: Callable[[str], bytes] = field(default=_no_file, repr=False)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    label_file: str | None = None
    caption_file: str | None = None
    all_pictures: bool = False
    forward_only: bool = False

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def locate(self, name: str) -> str:
        """Full name of an entry in messages: FOLDER/NAME, or ARCHIVE:NAME."""
        return f"{self.text.rstrip('/')}/{name}" if Path(self.text).is_dir() else f"{self.text}:{name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class SharedFile:
    """An open file, or an open member of an archive, that holds the bytes of many entries.

    All entries share one file position. Every read goes through `read_at`, which any number of threads may call.

    Args:
        stream: A seekable binary stream.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._position = threading.Lock()
        self.close = stream.close

    def read_at(self, start: int, read: Callable[[IO[bytes]], bytes]) -> bytes:
        """Seek to an offset and let `read` read from there; one thread at a time."""
        with self._position:
            self._stream.seek(start)
            return read(self._stream)


@contextmanager
def reading(source: Path | str) -> Iterator[None]:
    """Turn an OSError of the block into an error that names the source.

    Raises:
        ResourceError: The source cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise from_os_error(error, f"reading {source}") from error


@contextmanager
def as_image_error(name: str) -> Iterator[None]:
    """Turn an OSError of the block into an `ImageError` of an entry."""
    try:
        yield
    except OSError as error:
        raise ImageError(name, f"cannot be read: {error.strerror or error}") from error


def read_file(path: Path, name: str) -> bytes:
    """Read an image file. Nothing after the first bytes is read if they are not those of an image.

    Raises:
        ImageError: The path is no regular file, or the file cannot be read, is too large or is no image.
    """
    with as_image_error(name):
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(name, "not a file")
        with path.open("rb") as stream:
            return read_image(stream, status.st_size, name)


def read_image(stream: IO[bytes], size: int, name: str) -> bytes:
    """Read an image of `size` bytes from a stream. Nothing after the first bytes is read if it is no image.

    Raises:
        ImageError: The image is too large, cut short, or no image.
    """
    head = stream.read(min(HEAD_BYTES, size))
    require_image(head, name)
    return head + _read_rest(stream, size, len(head), name)


def read_exactly(stream: IO[bytes], size: int, name: str) -> bytes:
    """Read a file of any kind, of `size` bytes, from a stream.

    Raises:
        ImageError: The file is too large or cut short.
    """
    return _read_rest(stream, size, 0, name)


def _read_rest(stream: IO[bytes], size: int, done: int, name: str) -> bytes:
    if size > LARGEST_FILE:
        raise ImageError(name, f"too large: a file of {format_bytes(size)}")
    data = stream.read(size - done)
    if len(data) < size - done:
        raise ImageError(name, f"damaged: cut short by {size - done - len(data):,} bytes")
    return data

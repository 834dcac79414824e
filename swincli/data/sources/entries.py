"""What a source of pictures is: named entries that can be read, in the order of their names."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from swincli.data.images.decode import HEAD_BYTES, require_image
from swincli.data.images.rejected import ImageError
from swincli.units import format_bytes

LARGEST_FILE = 512 * 2**20  # a bound on the memory of one file


def _no_file(name: str) -> bytes:
    raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a source: its path inside it, and `read`, which raises `ImageError` where it is of no use."""

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Source:
    """Files in the order of their names.

    Attributes:
        text: The source as it was asked for.
        entries: Its files, by name.
        credit: Who made the pictures, where they come along with swincli.
        close: Lets go of an open archive; leaving the `with` block calls it.
        read_file: Reads any file in it, and not only pictures, by its path; raises KeyError where there is none, and
            `ImageError` where it cannot be read.
        notes: What is worth knowing about how it was read.
        label_file: A file of labels that lies in it, by its path.
        all_pictures: Whether every entry is meant to be a picture, whatever it is called.
    """

    text: str
    entries: list[Entry]
    credit: str | None = None
    close: Callable[[], None] = field(default=lambda: None, repr=False)
    read_file: Callable[[str], bytes] = field(default=_no_file, repr=False)
    notes: tuple[str, ...] = ()
    label_file: str | None = None
    all_pictures: bool = False

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def locate(self, name: str) -> str:
        """Name an entry as a person would look for it: by the path of its file, or of the archive and the entry."""
        return f"{self.text.rstrip('/')}/{name}" if Path(self.text).is_dir() else f"{self.text}:{name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def read_file(path: Path, name: str) -> bytes:
    """Read a picture's file, as far as it can be one.

    Raises:
        ImageError: no regular file, unreadable, too large, or by its first bytes not an image.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(name, "not a file")
        with path.open("rb") as stream:
            return read_image(stream, status.st_size, name)
    except OSError as error:
        raise ImageError(name, f"cannot be read: {error.strerror or error}") from error


def read_image(stream: IO[bytes], size: int, name: str) -> bytes:
    """Read a picture of `size` bytes from a stream, as far as it can be one.

    Raises:
        ImageError: too large, cut short, or by its first bytes not an image.
    """
    head = stream.read(min(HEAD_BYTES, size))
    require_image(head, name)
    return head + _read_rest(stream, size, len(head), name)


def read_exactly(stream: IO[bytes], size: int, name: str) -> bytes:
    """Read a file of any kind, of `size` bytes, from a stream.

    Raises:
        ImageError: too large for the memory, or cut short.
    """
    return _read_rest(stream, size, 0, name)


def _read_rest(stream: IO[bytes], size: int, done: int, name: str) -> bytes:
    if size > LARGEST_FILE:
        raise ImageError(name, f"too large: a file of {format_bytes(size)}")
    data = stream.read(size - done)
    if len(data) < size - done:
        raise ImageError(name, f"damaged: cut short by {size - done - len(data):,} bytes")
    return data

"""Pictures in a tar, plain or compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Final

from swincli.data.images.rejected import ImageError
from swincli.data.sources.entries import Entry, Source, read_exactly, read_image
from swincli.data.sources.naming import member_name
from swincli.errors import DataError, from_os_error

_BLOCK: Final = 512
_CHUNK: Final = 2**20
_AGAIN: Final = "Copy or download it again."
_UNPACKERS: Final[dict[bytes, Callable[[Path], gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
_ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"


def looks_like_tar(head: bytes) -> bool:
    """Tell by the first 512 bytes of a file, whose suffix may say otherwise."""
    return head[257:262] == b"ustar" or head.startswith((*_UNPACKERS, _ZSTANDARD))


def open_tar(text: str, path: Path) -> Source:
    """List the files in a tar. A compressed one is unpacked once, into a file without a name in the temporary folder.

    Raises:
        DataError: it is damaged, or compressed in a way that is not read.
        ResourceError: it may not be read, or the temporary folder is full.
    """
    stream = _plain(text, path)
    try:
        members = _index(stream)
    except (tarfile.TarError, ValueError, OverflowError, EOFError, KeyError) as error:
        stream.close()
        raise DataError(f"{text} is a damaged tar: {error}", _AGAIN) from error
    except OSError as error:
        stream.close()
        raise from_os_error(error, f"reading {text}") from error
    entries = [Entry(name, partial(_read, stream, *members[name], name)) for name in sorted(members)]
    return Source(text, entries, close=stream.close, read_file=partial(_read_any, stream, members))


def _plain(text: str, path: Path) -> IO[bytes]:
    """Open a tar, unpacked if it has to be."""
    try:
        plain = path.open("rb")
        head = plain.read(8)
        plain.seek(0)
    except OSError as error:
        raise from_os_error(error, f"reading {text}") from error
    if head.startswith(_ZSTANDARD):
        plain.close()
        raise DataError(f"{text} is compressed with Zstandard, which is not read", "Unpack it: zstd -d FILE")
    unpack = next((unpack for magic, unpack in _UNPACKERS.items() if head.startswith(magic)), None)
    if unpack is None:
        return plain
    plain.close()
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the source
    try:
        with unpack(path) as packed:
            shutil.copyfileobj(packed, unpacked, _CHUNK)
        unpacked.seek(0)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError) as error:
        unpacked.close()
        raise DataError(f"{text} is a damaged tar: it cannot be unpacked ({error})", _AGAIN) from error
    except OSError as error:
        unpacked.close()
        if error.errno is None:  # bz2 says so of damaged data
            raise DataError(f"{text} is a damaged tar: it cannot be unpacked ({error})", _AGAIN) from error
        raise from_os_error(error, f"unpacking {text} into {tempfile.gettempdir()}") from error
    except BaseException:
        unpacked.close()
        raise
    return unpacked


def _index(stream: IO[bytes]) -> dict[str, tuple[int, int, str | None]]:
    """Find where each file lies: its first byte, its size, and what keeps it from being read."""
    members: dict[str, tuple[int, int, str | None]] = {}
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        while (info := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it would keep a kilobyte of each
            name = member_name(info.name)
            if name is not None and not info.isdir():
                problem = None if info.isreg() and not info.issparse() else "not a plain file of the tar"
                members[name] = (info.offset_data, info.size, problem)
        end = archive.offset
    # tarfile takes a header that it cannot read, and the end of the file, for the end of the archive.
    stream.seek(end)
    if stream.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("cut short, or a header in it cannot be read")
    return members


def _read(stream: IO[bytes], start: int, size: int, problem: str | None, name: str) -> bytes:
    return _read_with(read_image, stream, start, size, problem, name)


def _read_any(stream: IO[bytes], members: dict[str, tuple[int, int, str | None]], name: str) -> bytes:
    return _read_with(read_exactly, stream, *members[name], name)


def _read_with(
    read: Callable[[IO[bytes], int, str], bytes],
    stream: IO[bytes],
    start: int,
    size: int,
    problem: str | None,
    name: str,
) -> bytes:
    if problem is not None:
        raise ImageError(name, problem)
    try:
        stream.seek(start)
        return read(stream, size, name)
    except OSError as error:
        raise ImageError(name, f"cannot be read: {error.strerror or error}") from error

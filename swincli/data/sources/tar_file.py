"""Source: the files in a tar, plain or compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

from swincli.data.images.rejected import ImageError
from swincli.data.sources.entries import (
    COPY_AGAIN,
    Entry,
    SharedFile,
    Source,
    as_image_error,
    read_exactly,
    read_image,
    reading,
)
from swincli.data.sources.naming import PassedOver, member_name
from swincli.errors import DataError, ResourceError, from_os_error

_BLOCK: Final = 512
_CHUNK: Final = 2**20
_UNPACKERS: Final[dict[bytes, Callable[[Path], gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
_ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"


def looks_like_tar(head: bytes) -> bool:
    """Whether the first 512 bytes of a file are those of a tar. The suffix does not matter."""
    return head[257:262] == b"ustar" or head.startswith((*_UNPACKERS, _ZSTANDARD))


def open_tar(text: str, path: Path) -> Source:
    """List the files in a tar. A compressed tar is unpacked once, into an unnamed file in the temporary folder.

    Raises:
        DataError: The tar is damaged, or compressed with Zstandard.
        ResourceError: The tar cannot be read, or the temporary folder is full.
    """
    stream, passed_over = _uncompressed(text, path), PassedOver()
    try:
        members = _index(stream, passed_over)
    except (tarfile.TarError, ValueError, OverflowError, EOFError, KeyError) as error:
        stream.close()
        raise DataError(f"{text} is a damaged tar: {error}", COPY_AGAIN) from error
    except OSError as error:
        stream.close()
        raise from_os_error(error, f"reading {text}") from error
    file = SharedFile(stream)
    entries = [Entry(name, partial(_read, file, members[name], name, read_image)) for name in sorted(members)]
    read_any = partial(_read_any, file, members)
    return Source(text, entries, close=file.close, read_file=read_any, notes=passed_over.notes(text))


@dataclass(frozen=True, slots=True)
class _Member:
    """A file in the tar: offset of its first byte, size, and why it cannot be read (None if it can)."""

    start: int
    size: int
    problem: str | None


def _uncompressed(text: str, path: Path) -> IO[bytes]:
    """Open a tar; unpack a compressed one first."""
    with reading(text):
        plain = path.open("rb")
        head = plain.read(8)
        plain.seek(0)
    if head.startswith(_ZSTANDARD):
        plain.close()
        raise DataError(f"{text} is compressed with Zstandard, which is not supported", "Unpack it: zstd -d FILE")
    unpack = next((unpack for magic, unpack in _UNPACKERS.items() if head.startswith(magic)), None)
    if unpack is None:
        return plain
    plain.close()
    try:
        unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the source
    except OSError as error:
        hint = "Set TMPDIR to a folder with room for it, or unpack it yourself."
        raise ResourceError(f"{text}: there is no temporary folder to unpack it into", hint) from error
    try:
        with unpack(path) as packed:
            shutil.copyfileobj(packed, unpacked, _CHUNK)
        unpacked.seek(0)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError) as error:
        unpacked.close()
        raise DataError(f"{text} is a damaged tar: it cannot be unpacked ({error})", COPY_AGAIN) from error
    except OSError as error:
        unpacked.close()
        if error.errno is None:  # how bz2 reports damaged data
            raise DataError(f"{text} is a damaged tar: it cannot be unpacked ({error})", COPY_AGAIN) from error
        raise from_os_error(error, f"unpacking {text} into {tempfile.gettempdir()}") from error
    except BaseException:
        unpacked.close()
        raise
    return unpacked


def _index(stream: IO[bytes], passed_over: PassedOver) -> dict[str, _Member]:
    """Index the files of a tar by name. Of equal names the last one counts."""
    members: dict[str, _Member] = {}
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        while (info := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # tarfile would keep 1 KiB per member
            name = member_name(info.name, passed_over)
            if name is not None and not info.isdir():
                if name in members:
                    passed_over.add_replaced(name)
                problem = None if info.isreg() and not info.issparse() else "not a plain file of the tar"
                members[name] = _Member(info.offset_data, info.size, problem)
        end = archive.offset
    # tarfile ends silently at a damaged header or at the end of a cut file. A whole tar ends with a block of zeros.
    stream.seek(end)
    if stream.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("cut short, or a header in it cannot be read")
    return members


def _read_any(file: SharedFile, members: dict[str, _Member], name: str) -> bytes:
    return _read(file, members[name], name, read_exactly)


def _read(file: SharedFile, member: _Member, name: str, read: Callable[[IO[bytes], int, str], bytes]) -> bytes:
    if member.problem is not None:
        raise ImageError(name, member.problem)
    with as_image_error(name):
        return file.read_at(member.start, lambda stream: read(stream, member.size, name))

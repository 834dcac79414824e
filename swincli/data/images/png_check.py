"""Integrity of a PNG, and the chunks that decide its pixels.

Pillow skips the checksums of pixel data and fills missing pixels with black. Yet it refuses a file for a wrong checksum
or a long text in a chunk that has nothing to do with its pixels.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from swincli.data.images.rejected import DamagedError

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHUNK_OVERHEAD: Final = 12  # bytes of a chunk besides its data: length, type, checksum
_PROFILE: Final = b"iCCP"
_MUST_BE_RIGHT: Final = b"tRNS"  # ancillary by its name, but it decides pixels
_KEPT: Final = (_MUST_BE_RIGHT, b"eXIf")
_OLD_EXIF: Final = b"Raw profile type exif\0"  # of a text chunk; ImageMagick wrote EXIF there before PNG had eXIf
_TEXTS: Final = (b"tEXt", b"zTXt")
_LARGEST_PROFILE: Final = 2**24  # bytes, unpacked; Pillow refuses files with more than 2**20


def require_whole_png(data: bytes) -> None:
    """Check the end of a PNG and the checksums of the chunks that decide its pixels (PNG specification, 5.3).

    Args:
        data: The whole file.

    Raises:
        DamagedError: The file is cut short or a checksum is wrong.
    """
    for _ in _chunks(data):
        pass


def strip_png(data: bytes) -> tuple[bytes, bytes | None]:
    """Reduce a PNG to the chunks that decide its pixels.

    Other chunks, such as texts, may be damaged or of any length. So may a colour profile, which is then ignored.

    Args:
        data: The whole file.

    Returns:
        The file without other chunks, and its unpacked colour profile; None without a usable one.

    Raises:
        DamagedError: The file is cut short or a checksum is wrong.
    """
    kept, dropped, profile = [memoryview(_SIGNATURE)], 0, None
    for kind, chunk, intact in _chunks(data):
        is_critical = not kind[0] & 0x20
        is_old_exif = kind in _TEXTS and bytes(chunk[8 : 8 + len(_OLD_EXIF)]) == _OLD_EXIF
        if is_critical or (intact and (kind in _KEPT or is_old_exif)):
            kept.append(chunk)
            continue
        dropped += 1
        if intact and kind == _PROFILE:
            profile = _unpack_profile(bytes(chunk[8:-4]))
    return (b"".join(kept) if dropped else data), profile


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Each chunk up to IEND: its type, all of its bytes, and whether its checksum is right."""
    at, view = len(_SIGNATURE), memoryview(data)
    while at + _CHUNK_OVERHEAD <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + _CHUNK_OVERHEAD + length
        if end > len(data):
            break
        intact = zlib.crc32(view[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        if not intact and (not kind[0] & 0x20 or kind == _MUST_BE_RIGHT):
            raise DamagedError(f"the checksum of its {kind.decode('latin-1')} is wrong")
        yield kind, view[at:end], intact
        if kind == b"IEND":
            return
        at = end
    raise DamagedError("it is cut short")


def _unpack_profile(content: bytes) -> bytes | None:
    """Unpack iCCP: a name, a zero byte, the compression method 0, and zlib's data."""
    _, zero, packed = content.partition(b"\0")
    if not zero or packed[:1] != b"\0":
        return None
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], _LARGEST_PROFILE)
    except zlib.error:
        return None
    return profile if unpacker.eof else None

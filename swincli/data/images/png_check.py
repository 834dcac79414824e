"""Integrity check of a PNG file. Pillow skips the checksums of pixel data and fills missing pixels with black."""

from __future__ import annotations

import struct
import zlib
from typing import Final

_SIGNATURE: Final = 8  # bytes
_CHUNK_OVERHEAD: Final = 12  # bytes of a chunk besides its data: length, type, checksum


def require_whole_png(data: bytes) -> None:
    """Check the end of a PNG and the checksums of its critical chunks (PNG specification, 5.3).

    Args:
        data: The whole file.

    Raises:
        ValueError: The file is cut short or a checksum is wrong.
    """
    at, view = _SIGNATURE, memoryview(data)
    while at + _CHUNK_OVERHEAD <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + _CHUNK_OVERHEAD + length
        if end > len(data):
            break
        is_critical = not kind[0] & 0x20
        if is_critical and zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ValueError(f"the checksum of its {kind.decode('latin-1')} is wrong")
        if kind == b"IEND":
            return
        at = end
    raise ValueError("it is cut short")

"""How a TIFF holds its pixels, read from its directories: camera raws and layouts that Pillow would misread."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, SAMPLES, PLANAR = 258, 259, 262, 266, 277, 284
SUB_IFDS, EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING, DNG_VERSION = 330, 338, 339, 530, 50706
_DEFAULTS: Final = {BITS: 1, COMPRESSION: 1, PHOTOMETRIC: 0, FILL_ORDER: 1, SAMPLES: 1, PLANAR: 1, SAMPLE_FORMAT: 1}
_TYPES: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # TIFF's unsigned types, as those of `struct`
_SENSOR: Final = (32803, 34892)  # photometric interpretations: colour filter array, linear raw
_MOST_VALUES: Final = 64  # of one tag; longer lists are offsets of strips
_MOST_IFDS: Final = 16

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, YCBCR = 0, 1, 2, 6  # photometric interpretations
_COLOURS: Final = {
    WHITE_IS_ZERO: "grey", BLACK_IS_ZERO: "grey", RGB: "RGB", 3: "palette", 4: "mask", 5: "CMYK", YCBCR: "YCbCr",
    8: "Lab", 9: "Lab", 10: "Lab", 32844: "LogL", 32845: "LogLuv",
}  # fmt: skip
_NUMBERS: Final = {1: "", 2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}


@dataclass(frozen=True)
class _Tag:
    values: tuple[int, ...]
    at: int  # offset of the first value in the file
    letter: str  # its type, as that of `struct`


@dataclass(frozen=True)
class TiffLayout:
    """How the first picture of a TIFF holds its pixels.

    Attributes:
        order: Byte order, as in `struct`: "<" or ">".
        is_big: Whether it is a BigTIFF.
        is_raw: Whether any picture of the file is the output of a camera's sensor.
        tags: Tags with unsigned values, by their number.
    """

    order: str
    is_big: bool
    is_raw: bool
    tags: dict[int, _Tag]

    def value(self, number: int) -> int:
        """The value of a tag, the largest of several, or its default."""
        return max(self.tags[number].values) if number in self.tags else _DEFAULTS[number]

    def values(self, number: int) -> tuple[int, ...]:
        """All values of a tag; none without it."""
        return self.tags[number].values if number in self.tags else ()

    def describe(self) -> str:
        """The kind of the file in words, such as "a TIFF of signed 16-bit grey pixels, compression 8"."""
        numbers = _NUMBERS.get(self.value(SAMPLE_FORMAT), "other ")
        colours = _COLOURS.get(self.value(PHOTOMETRIC), f"photometric {self.value(PHOTOMETRIC)}")
        planes = " in separate planes" if self.value(PLANAR) == 2 and self.value(SAMPLES) > 1 else ""
        kind = "big-endian BigTIFF" if self.is_big and self.order == ">" else "TIFF"
        planes += " with its bits reversed" if self.value(FILL_ORDER) == 2 else ""
        text = f"a {kind} of {numbers}{self.value(BITS)}-bit {colours} pixels{planes}"
        return text if self.value(COMPRESSION) == 1 else f"{text}, compression {self.value(COMPRESSION)}"

    def changed(self, data: bytes, number: int, value: int) -> bytes:
        """The file with another value of a tag that it has."""
        tag, copy = self.tags[number], bytearray(data)
        struct.pack_into(f"{self.order}{tag.letter}", copy, tag.at, value)
        return bytes(copy)


def read_layout(data: bytes) -> TiffLayout | None:
    """Read the layout of a TIFF or BigTIFF.

    Args:
        data: The whole file.

    Returns:
        The layout; None if the first directory cannot be read.
    """
    directories = list(_directories(data))
    if not directories:
        return None
    tags = directories[0]
    raw = DNG_VERSION in tags or any(
        PHOTOMETRIC in each and each[PHOTOMETRIC].values[0] in _SENSOR for each in directories
    )
    order = "<" if data[:2] == b"II" else ">"
    return TiffLayout(order, b"+" in data[2:4], raw, tags)


def _directories(data: bytes) -> Iterator[dict[int, _Tag]]:
    """The first directory, then those that it refers to: further pictures, and pictures inside it."""
    try:
        order = {b"II": "<", b"MM": ">"}[data[:2]]
        (version,) = struct.unpack_from(f"{order}H", data, 2)
        big = version == 43
        waiting = list(struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4))
    except (KeyError, struct.error):
        return
    seen = set[int]()
    while waiting and len(seen) < _MOST_IFDS:
        start = waiting.pop(0)
        if start in seen or not start:
            continue
        seen.add(start)
        try:
            tags, following = _read_directory(data, order, big, start)
        except (struct.error, OverflowError):  # cut short or nonsense
            continue
        yield tags
        waiting += [*(tags[SUB_IFDS].values if SUB_IFDS in tags else ()), following]


def _read_directory(data: bytes, order: str, big: bool, start: int) -> tuple[dict[int, _Tag], int]:
    """Tags of a directory with unsigned values, and the offset of the next directory (0 for none).

    Raises:
        struct.error, OverflowError: The directory is cut short, or refers to a place outside the file.
    """
    count_type, entry_type, offset_type, inline = ("Q", "HHQ", "Q", 8) if big else ("H", "HHI", "I", 4)
    entry_size = 12 + inline if big else 8 + inline
    tags: dict[int, _Tag] = {}
    (count,) = struct.unpack_from(f"{order}{count_type}", data, start)
    at = start + struct.calcsize(f"={count_type}")
    for _ in range(count):
        number, kind, length = struct.unpack_from(f"{order}{entry_type}", data, at)
        place = at + entry_size - inline
        at += entry_size
        if kind not in _TYPES or not length:
            continue
        letter = _TYPES[kind]
        if length * struct.calcsize(f"={letter}") > inline:
            (place,) = struct.unpack_from(f"{order}{offset_type}", data, place)
        kept = f"{order}{min(length, _MOST_VALUES)}{letter}"
        tags.setdefault(number, _Tag(struct.unpack_from(kept, data, place), place, letter))
    (following,) = struct.unpack_from(f"{order}{offset_type}", data, at)
    return tags, following

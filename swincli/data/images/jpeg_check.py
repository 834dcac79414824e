"""Integrity of a JPEG. libjpeg goes on after damage, fills what is missing with grey, and Pillow does not say so.

A file is called damaged only on proof. Cheap signs (a long run of zeros, a grey end, missing restart markers) pick out
few files; these are decoded once more with a part of their data changed. If the data were whole, a change after its end
would not be seen.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

from PIL import Image, ImageStat

from swincli.data.images.rejected import DamagedError

_END: Final = b"\xff\xd9"
_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # the first marker that is not inside a scan
_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")
_ZEROS: Final = bytes(256)  # a run of zeros of this length is a sign of damage
_FILLER: Final = b"\x55\xaa" * 64  # decodes to some pattern
_GREY: Final = (125, 131)  # mean level of the end of a picture that libjpeg has filled
_STRIP: Final = 256  # rows that are compared at a time
_NEAR_GREY: Final = 40  # levels of one pixel
_TAIL: Final = 16  # side of that end in pixels
_SEQUENTIAL: Final = (0xC0, 0xC1)
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END_OF_BLOCK: Final = 0

_LOSSLESS: Final = (0xC3, 0xC7, 0xCB, 0xCF)
_HIERARCHICAL: Final = (0xC5, 0xC6, 0xCD, 0xCE)
_JPEG_LS: Final = 0xF7


@dataclass
class JpegHeader:
    """What precedes the first scan.

    Attributes:
        frame: Marker of the frame, such as 0xC0 for baseline and 0xC2 for progressive.
        bits: Bits of a sample.
        size: Width and height in pixels.
        sampling: Horizontal and vertical sampling factor of each component.
        interval: Number of blocks (MCUs) between two restart markers; 0 for none.
        scan: Offset of the marker of the first scan.
        components: Number of components in the first scan.
        zeros_end_blocks: Whether zeros may stand for empty blocks: in every table of the scan, the code of zeros for
            AC coefficients ends the block.
    """

    frame: int = 0
    bits: int = 8
    size: tuple[int, int] = (0, 0)
    sampling: list[tuple[int, int]] = field(default_factory=list)
    interval: int = 0
    scan: int = 0
    components: int = 0
    zeros_end_blocks: bool = False

    @property
    def is_one_scan(self) -> bool:
        """Whether the picture is sequential, with all components in one scan."""
        return self.frame in _SEQUENTIAL and self.components == len(self.sampling)


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Read what precedes the first scan of a JPEG; of a damaged file, what can be read."""
    header, first_symbols = JpegHeader(), dict[int, int]()
    for marker, at, content in _segments(data):
        if (marker in _FRAMES or marker == _JPEG_LS) and len(content) >= 6 and not header.frame:
            header.frame = marker
            header.bits, height, width, count = struct.unpack_from(">BHHB", content)
            header.size = (width, height)
            header.sampling = [divmod(content[6 + 3 * i + 1], 16) for i in range(min(count, (len(content) - 6) // 3))]
        elif marker == 0xC4:
            first_symbols |= _first_ac_symbols(content)
        elif marker == 0xDD and len(content) >= 2:
            (header.interval,) = struct.unpack_from(">H", content)
        elif marker == 0xDA and content:
            header.scan, header.components = at, content[0]
            tables = [content[place] & 15 for place in range(2, min(len(content), 1 + 2 * content[0]), 2)]
            header.zeros_end_blocks = all(first_symbols.get(table) == _END_OF_BLOCK for table in tables)
    return header


def unread_jpeg(header: JpegHeader) -> str | None:
    """The kind of a JPEG that Pillow does not read, such as "a JPEG of 12 bits"; None for the common kinds."""
    if header.frame == _JPEG_LS:
        return "JPEG-LS"
    if header.frame in _LOSSLESS:
        return "a lossless JPEG"
    if header.frame in _HIERARCHICAL:
        return "a hierarchical JPEG"
    return f"a JPEG of {header.bits} bits" if header.frame and header.bits != 8 else None


def require_whole_jpeg(image: Image.Image, data: bytes, header: JpegHeader) -> None:
    """Check that no part of the pixel data is zeros or missing.

    Args:
        image: The decoded JPEG, perhaps shrunk while it was decoded.
        data: The whole file.
        header: Its header.

    Raises:
        DamagedError: A part of the data is zeros or missing.
    """
    if not header.scan:
        return
    if _lacks_restarts(header, data):
        raise DamagedError("a part of its data is missing")
    zeros = data.find(_ZEROS, header.scan)
    if zeros >= 0 and _zeros_are_damage(image, data, header, zeros):
        raise DamagedError("a part of its data is zeros")
    if _ends_grey(image, header) and not _same(image, _with_filler(data, header)):
        raise DamagedError("a part of its data is missing")


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Marker, offset and content of each segment up to the first scan."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            at += 1  # decoders pass over bytes between segments
            continue
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        if marker == _END[1]:
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, at, data[at + 4 : at + 2 + length]
        if marker == 0xDA:
            return
        at += 2 + max(2, length)


def _first_ac_symbols(content: bytes) -> dict[int, int]:
    """The symbol of the code of zeros in each Huffman table for AC coefficients, by the number of the table."""
    at, found = 0, {}
    while at + 17 < len(content):
        if content[at] >> 4:
            found[content[at] & 15] = content[at + 17]
        at += 17 + sum(content[at + 1 : at + 17])
    return found


def _lacks_restarts(header: JpegHeader, data: bytes) -> bool:
    """Whether restart markers are missing in the scan of a sequential JPEG. Libraries go on at the next one."""
    if not header.interval or not header.is_one_scan:
        return False
    end = data.find(_END, header.scan)
    width, height = header.size
    if end < 0 or not width or not height or any(not h or not v for h, v in header.sampling):
        return False
    across = down = 8
    if header.components > 1:
        across *= max(h for h, _ in header.sampling)
        down *= max(v for _, v in header.sampling)
    blocks = -(-width // across) * -(-height // down)
    numbers = [data[match.start() + 1] - 0xD0 for match in _RESTART.finditer(data, header.scan, end)]
    if len(numbers) < -(-blocks // header.interval) - 2:
        return True
    return any(number != place % 8 for place, number in enumerate(numbers))


def _zeros_are_damage(image: Image.Image, data: bytes, header: JpegHeader, start: int) -> bool:
    """Whether zeros from an offset on are decoded, and are not how the picture is coded."""
    end = _AFTER_SCAN.search(data, start)
    before = {data[match.start() + 1] for match in _AFTER_SCAN.finditer(data, header.scan + 2, start)}
    if _END[1] in before:
        return False  # behind the picture: a preview, or what a camera has added
    after = start + len(_ZEROS)
    while after < len(data) and not data[after]:
        after += 1
    if _same(image, data[:start] + _END):
        return False  # the picture was complete
    if header.is_one_scan and not header.zeros_end_blocks:
        return True  # no encoder writes so many coefficients of -1
    if end is None or after + len(_ZEROS) >= end.start():
        return end is None  # without an end it was never written; before the end it may be a flat picture's code
    rest = (end.start() - after) // 4  # zeros are so few bits that the blocks run out before the data
    other = (_FILLER * (rest // len(_FILLER) + 1))[:rest]
    return rest > 0 and _same(image, data[: end.start() - rest] + other + data[end.start() :])


def _ends_grey(image: Image.Image, header: JpegHeader) -> bool:
    """Whether the last corner has the level of what libjpeg fills in."""
    width, height = image.size
    last = image.getpixel((width - 1, height - 1))
    if any(abs(level - 128) > _NEAR_GREY for level in (last if isinstance(last, tuple) else (last or 0,))):
        return False  # as nearly every whole file
    side = max(1, _TAIL * width // header.size[0]) if header.size[0] else _TAIL
    corner = image.crop((max(0, width - side), max(0, height - side), width, height))
    return all(_GREY[0] <= mean <= _GREY[1] for mean in ImageStat.Stat(corner).mean)


def _with_filler(data: bytes, header: JpegHeader) -> bytes:
    """The file with more data at the end of each scan, where whole scans ignore it."""
    pieces, done, at = [], 0, header.scan
    while True:
        end = _AFTER_SCAN.search(data, at + 2)
        if end is None:
            break
        pieces += [data[done : end.start()], _FILLER]
        done = end.start()
        at = data.find(b"\xff\xda", done)
        if at < 0 or data[done : done + 2] == _END:
            break
    return b"".join([*pieces, data[done:]])


def _same(image: Image.Image, changed: bytes) -> bool:
    """Whether a changed file decodes to the same pixels."""
    try:
        with Image.open(BytesIO(changed), formats=("JPEG",)) as other:
            other.draft(image.mode, image.size)
            if other.size != image.size:
                return False
            other.load()
            width, height = image.size
            boxes = [(0, top, width, min(height, top + _STRIP)) for top in range(0, height, _STRIP)]
            return all(other.crop(box).tobytes() == image.crop(box).tobytes() for box in boxes)
    except MemoryError:
        raise
    except Exception:  # as for any damaged file
        return False

"""Source: an array of pictures in a .npy or .npz file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Final

import numpy as np
from PIL import Image

from swincli.data.images.rejected import ImageError
from swincli.data.sources.entries import COPY_AGAIN, LARGEST_FILE, Entry, SharedFile, Source, reading
from swincli.data.sources.zip_file import UNPACKING_ERRORS, open_zip_file
from swincli.errors import DataError
from swincli.system.array_files import member_size, read_array_header
from swincli.units import format_bytes

MAGIC: Final = b"\x93NUMPY"
_CHANNELS: Final = (1, 3, 4)
_EXPECTED: Final = "An array of pictures is uint8, N x H x W x 3, N x 3 x H x W or N x H x W."


@dataclass(frozen=True)
class _PictureArray:
    """Layout of an array of pictures in its file.

    Attributes:
        start: Offset of the first byte.
        count: Number of pictures.
        shape: Shape of one picture.
        channels_first: Whether the shape is C x H x W.
    """

    start: int
    count: int
    shape: tuple[int, ...]
    channels_first: bool

    @property
    def size(self) -> int:
        """Size of one picture in bytes."""
        return math.prod(self.shape)


def open_array(text: str, path: Path) -> Source:
    """List the pictures of a .npy file. They are read one by one.

    Raises:
        DataError: The file is damaged or not an array of pictures.
        ResourceError: The file cannot be read.
    """
    with reading(text):
        stream = path.open("rb")
        length = path.stat().st_size
    try:
        pictures = _read_header(text, stream, length)
    except BaseException:
        stream.close()
        raise
    return Source(text, _entries(stream, pictures), close=stream.close, all_pictures=True)


def open_arrays(text: str, path: Path) -> Source:
    """List the pictures of a .npz file. Exactly one of its arrays must be an array of pictures.

    Raises:
        DataError: The file is damaged, or has no array of pictures, or several.
        ResourceError: The file cannot be read.
    """
    archive = open_zip_file(text, path)
    found: dict[str, _PictureArray] = {}
    problems: list[str] = []
    size = path.stat().st_size
    try:
        for info in archive.infolist():
            try:
                with archive.open(info) as member:
                    found[info.filename] = _read_header(f"{text}:{info.filename}", member, member_size(info, size))
            except DataError as error:
                problems.append(error.message)
            except (*UNPACKING_ERRORS, NotImplementedError, RuntimeError) as error:
                raise DataError(f"{text} is damaged: {info.filename} cannot be unpacked", COPY_AGAIN) from error
        if len(found) != 1:
            content = f"several arrays of pictures: {', '.join(found)}" if found else "no array of pictures"
            raise DataError(f"{text} holds {content}{_listing(problems)}", _EXPECTED)
        (name, pictures), *_ = found.items()
        stream = archive.open(name)
    except BaseException:
        archive.close()
        raise
    return Source(text, _entries(stream, pictures), close=archive.close, all_pictures=True, forward_only=True)


def _listing(problems: list[str]) -> str:
    return "" if not problems else f" ({problems[0]}{', ...' if len(problems) > 1 else ''})"


def _read_header(text: str, stream: IO[bytes], length: int) -> _PictureArray:
    try:
        header = read_array_header(stream)
    except Exception as error:  # numpy parses the header as Python, which raises many exceptions
        raise DataError(f"{text} is a damaged array: its header cannot be read", COPY_AGAIN) from error
    start, shape, is_fortran, dtype = stream.tell(), header.shape, header.is_fortran, header.dtype
    spelled = " x ".join(map(str, shape))
    if dtype.hasobject:
        raise DataError(f"{text} holds Python objects, which are never loaded", _EXPECTED)
    if dtype != np.uint8:
        raise DataError(f"{text} is {dtype}, not uint8", _EXPECTED)
    if is_fortran or len(shape) not in (3, 4) or 0 in shape:
        order = " in Fortran order" if is_fortran else ""
        raise DataError(f"{text} has the shape {spelled}{order}, which is not an array of pictures", _EXPECTED)
    channels_first = False
    if len(shape) == 4 and shape[3] not in _CHANNELS:
        channels_first = shape[1] in _CHANNELS
        if not channels_first:
            raise DataError(f"{text} has the shape {spelled}, without 1, 3 or 4 channels", _EXPECTED)
    if len(shape) == 3 and shape[2] in _CHANNELS:
        raise DataError(f"{text} has the shape {spelled}, which is a single picture", _EXPECTED)
    pictures = _PictureArray(start, shape[0], tuple(shape[1:]), channels_first)
    if length < start + pictures.count * pictures.size:
        missing = format_bytes(start + pictures.count * pictures.size - length)
        raise DataError(f"{text} is a damaged array: it is cut short by {missing}", COPY_AGAIN)
    if pictures.size > LARGEST_FILE:
        raise DataError(f"{text}: each picture takes {format_bytes(pictures.size)}, which is too large")
    return pictures


def _entries(stream: IO[bytes], pictures: _PictureArray) -> list[Entry]:
    file = SharedFile(stream)
    names = [f"{index:08d}" for index in range(pictures.count)]
    return [Entry(name, partial(_read, file, pictures, index, name)) for index, name in enumerate(names)]


def _read(file: SharedFile, pictures: _PictureArray, index: int, name: str) -> bytes:
    """Read a picture and return it as an uncompressed BMP or PNG file, so that it is decoded like any other."""
    try:
        data = file.read_at(pictures.start + index * pictures.size, lambda stream: stream.read(pictures.size))
    except UNPACKING_ERRORS as error:
        raise ImageError(name, "damaged: it cannot be read from the array") from error
    if len(data) < pictures.size:
        raise ImageError(name, "damaged: cut short")
    pixels = np.frombuffer(data, np.uint8).reshape(pictures.shape)
    if pictures.channels_first:
        pixels = np.moveaxis(pixels, 0, -1)
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels))
    encoded = BytesIO()
    if image.mode == "RGBA":
        image.save(encoded, "PNG", compress_level=0)
    else:
        image.save(encoded, "BMP")
    return encoded.getvalue()

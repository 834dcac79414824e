"""Pictures in numpy's files: one array of all of them in a .npy, or in a .npz."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Final

import numpy as np
from PIL import Image

from swincli.data.images.rejected import ImageError
from swincli.data.sources.entries import LARGEST_FILE, Entry, Source
from swincli.data.sources.zip_file import UNPACKING_ERRORS, open_zip_file
from swincli.errors import DataError, from_os_error
from swincli.units import format_bytes

MAGIC: Final = b"\x93NUMPY"
_CHANNELS: Final = (1, 3, 4)
_WANTED: Final = "Arrays are uint8 of N x H x W x 3, N x 3 x H x W or N x H x W."


@dataclass(frozen=True)
class _Pictures:
    """An array of pictures: where its first byte is, how many there are, and the shape of one."""

    start: int
    count: int
    shape: tuple[int, ...]
    channels_first: bool

    @property
    def size(self) -> int:
        """Bytes of one picture."""
        return math.prod(self.shape)


def open_array(text: str, path: Path) -> Source:
    """List the pictures of a .npy file. They are read one by one, and the array never as a whole.

    Raises:
        DataError: it is damaged, or no array of pictures.
        ResourceError: it may not be read.
    """
    try:
        stream = path.open("rb")
        length = path.stat().st_size
    except OSError as error:
        raise from_os_error(error, f"reading {text}") from error
    try:
        pictures = _read_header(text, stream, length)
    except BaseException:
        stream.close()
        raise
    return Source(text, _entries(stream, pictures), close=stream.close, all_pictures=True)


def open_arrays(text: str, path: Path) -> Source:
    """List the pictures of the one array in a .npz file that can be pictures.

    Raises:
        DataError: it is damaged, or holds no such array, or several.
        ResourceError: it may not be read.
    """
    archive = open_zip_file(text, path)
    found: dict[str, _Pictures] = {}
    problems: list[str] = []
    try:
        for info in archive.infolist():
            try:
                with archive.open(info) as member:
                    found[info.filename] = _read_header(f"{text}:{info.filename}", member, info.file_size)
            except DataError as error:
                problems.append(error.message)
            except (*UNPACKING_ERRORS, NotImplementedError, RuntimeError) as error:
                raise DataError(f"{text} is damaged: {info.filename} cannot be unpacked", "Copy it again.") from error
        if len(found) != 1:
            what = f"several arrays of pictures: {', '.join(found)}" if found else "no array of pictures"
            raise DataError(f"{text} holds {what}{_listing(problems)}", _WANTED)
        (name, pictures), *_ = found.items()
        stream = archive.open(name)
    except BaseException:
        archive.close()
        raise
    return Source(text, _entries(stream, pictures), close=archive.close, all_pictures=True)


def _listing(problems: list[str]) -> str:
    return "" if not problems else f" ({problems[0]}{', ...' if len(problems) > 1 else ''})"


def _read_header(text: str, stream: IO[bytes], length: int) -> _Pictures:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, is_fortran, dtype = read(stream)
    except Exception as error:  # a damaged header is parsed as Python, which fails in many ways
        raise DataError(f"{text} is a damaged array: its header cannot be read", "Copy it again.") from error
    start = stream.tell()
    spelled = " x ".join(map(str, shape))
    if dtype.hasobject:
        raise DataError(f"{text} holds Python objects, which are never loaded", _WANTED)
    if dtype != np.uint8:
        raise DataError(f"{text} is of {dtype}, not of uint8", _WANTED)
    if is_fortran or len(shape) not in (3, 4) or 0 in shape:
        raise DataError(
            f"{text} is {spelled}{' in Fortran order' if is_fortran else ''}, no array of pictures", _WANTED
        )
    channels_first = False
    if len(shape) == 4 and shape[3] not in _CHANNELS:
        channels_first = shape[1] in _CHANNELS
        if not channels_first:
            raise DataError(f"{text} is {spelled}, without 1, 3 or 4 channels", _WANTED)
    if len(shape) == 3 and shape[2] in _CHANNELS:
        raise DataError(f"{text} is {spelled}, a single picture", _WANTED)
    pictures = _Pictures(start, shape[0], tuple(shape[1:]), channels_first)
    if length < start + pictures.count * pictures.size:
        missing = format_bytes(start + pictures.count * pictures.size - length)
        raise DataError(f"{text} is a damaged array: it is cut short by {missing}", "Copy it again.")
    if pictures.size > LARGEST_FILE:
        raise DataError(f"{text}: its pictures take {format_bytes(pictures.size)} each, which is too large")
    return pictures


def _entries(stream: IO[bytes], pictures: _Pictures) -> list[Entry]:
    names = [f"{index:08d}" for index in range(pictures.count)]
    return [Entry(name, partial(_read, stream, pictures, index, name)) for index, name in enumerate(names)]


def _read(stream: IO[bytes], pictures: _Pictures, index: int, name: str) -> bytes:
    """Read a picture and hand it out as an uncompressed file: whatever follows treats it as any other."""
    try:
        stream.seek(pictures.start + index * pictures.size)
        data = stream.read(pictures.size)
    except UNPACKING_ERRORS as error:
        raise ImageError(name, "damaged: it cannot be read from the array") from error
    if len(data) < pictures.size:
        raise ImageError(name, "damaged: cut short")
    pixels = np.frombuffer(data, np.uint8).reshape(pictures.shape)
    if pictures.channels_first:
        pixels = np.moveaxis(pixels, 0, -1)
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels))
    file = BytesIO()
    if image.mode == "RGBA":
        image.save(file, "PNG", compress_level=0)
    else:
        image.save(file, "BMP")
    return file.getvalue()

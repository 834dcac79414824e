"""Reading `.npy` headers and `.npz` files that may be damaged or hostile. `atomic_files.write_arrays` writes them.

A header is a claim: of its own length, of a shape, of a type. Each claim is checked against the bytes that are there
before memory is taken for it. Nothing is unpickled.
"""

from __future__ import annotations

import math
import struct
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from swincli.errors import DataError, SwincliError

LONGEST_HEADER: Final = 2**16  # bytes; numpy's own are 128
_CHUNK: Final = 2**20
_BEST_DEFLATE: Final = 1040  # bytes that one compressed byte can become


@dataclass(frozen=True)
class ArrayHeader:
    """The header of a `.npy` file.

    Attributes:
        shape: Claimed shape.
        is_fortran: Whether the elements are in Fortran order.
        dtype: Type of the elements.
    """

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Claimed size of the elements in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_array_header(stream: IO[bytes]) -> ArrayHeader:
    """Read the header of a `.npy` file; the stream is at the first element after it.

    Raises:
        Exception: It is damaged. numpy parses the header as Python, which raises many types.
    """
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"format {version[0]}.{version[1]} of .npy files")
    is_first = version == (1, 0)
    prefix = stream.read(2 if is_first else 4)
    (length,) = struct.unpack("<H" if is_first else "<I", prefix)
    if length > LONGEST_HEADER:
        raise ValueError(f"a header of {length:,} bytes")
    parse = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns about headers from Python 2
        shape, is_fortran, dtype = parse(BytesIO(prefix + stream.read(length)), max_header_size=LONGEST_HEADER)
    if any(side < 0 for side in shape):
        raise ValueError(f"the shape {shape}")
    return ArrayHeader(tuple(map(int, shape)), is_fortran, dtype)


def member_size(info: zipfile.ZipInfo, archive_size: int) -> int:
    """The largest size in bytes that a member of a zip can have; `info.file_size` is only a claim."""
    compressed = min(info.compress_size, archive_size)
    ratio = 1 if info.compress_type == zipfile.ZIP_STORED else _BEST_DEFLATE
    return min(info.file_size, compressed * ratio)


@contextmanager
def open_arrays(path: Path, hint: str | None = None) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open an `.npz` file; an array is read when it is taken from the mapping. Nothing is unpickled.

    Errors inside the block become DataErrors too, because a damaged file raises many types on access.

    Args:
        path: The file.
        hint: Hint of the errors.

    Raises:
        DataError: no such file, not an `.npz` file, or a damaged one.
    """
    try:
        if not path.is_file():
            raise DataError(f"{path}: no such file", hint)
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path}: damaged, or not an .npz file", hint)
        with zipfile.ZipFile(path) as archive:
            yield _Arrays(archive, path.stat().st_size)
    except SwincliError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise DataError(f"{path}: damaged, or not an .npz file of numbers ({reason})", hint) from error


def read_arrays(path: Path, hint: str | None = None, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read the arrays of an `.npz` file: all, or only the given `names`; missing names are skipped.

    Raises:
        DataError: as in `open_arrays`.
    """
    with open_arrays(path, hint) as arrays:
        return {name: arrays[name] for name in arrays if names is None or name in names}


class _Arrays(Mapping[str, NDArray[Any]]):
    """The arrays of an open archive, by name."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive, self._size = archive, size
        self._infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def __getitem__(self, name: str) -> NDArray[Any]:
        info = self._infos[name]
        with self._archive.open(info) as member:
            header = read_array_header(member)
            if header.dtype.hasobject:
                raise ValueError(f"{name} holds Python objects")
            if header.size > member_size(info, self._size):
                raise ValueError(f"{name} is cut short: {header.size:,} bytes are claimed")
            data = bytearray()  # grows with what is there, not with what is claimed
            while len(data) < header.size and (chunk := member.read(min(_CHUNK, header.size - len(data)))):
                data += chunk
            while member.read(_CHUNK):  # the checksum is verified at the end
                pass
        array = np.frombuffer(data, header.dtype) if header.size else np.zeros(0, header.dtype)
        return array.reshape(header.shape, order="F" if header.is_fortran else "C")

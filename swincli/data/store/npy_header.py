"""Header of the `.npy` files of a store: always 128 bytes, the same in every version of numpy."""

from __future__ import annotations

from typing import Final

HEADER_BYTES: Final = 128


def npy_header(descr: str, shape: tuple[int, ...]) -> bytes:
    """Build the header of a .npy file. It is what numpy writes, but the length never changes with the shape.

    So a header can be overwritten in place once the number of images is known.

    Args:
        descr: numpy's type string, such as "|u1" or "<i8".
        shape: Shape of the array in C order.
    """
    magic = b"\x93NUMPY\x01\x00"
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    length = HEADER_BYTES - len(magic) - 2
    return magic + length.to_bytes(2, "little") + text.ljust(length - 1).encode("ascii") + b"\n"

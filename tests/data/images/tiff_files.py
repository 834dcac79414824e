"""Writes TIFFs of any layout, for the tests of reading them."""

from __future__ import annotations

import struct
import zlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SHORT, LONG = 3, 4
SIZES = {1: 1, SHORT: 2, LONG: 4}
LETTERS = {1: "B", SHORT: "H", LONG: "I"}
Order = Literal["<", ">"]


def pack_bits(rows: NDArray[np.generic], bits: int, order: Order) -> bytes:
    """Samples [rows, samples of a row] as TIFF stores them: each row begins with a byte."""
    if bits >= 8:
        return rows.astype(rows.dtype.newbyteorder(order)).tobytes()
    spread = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., -bits:]
    return np.packbits(spread.reshape(len(rows), -1), axis=-1).tobytes()


def pack_12_bits(rows: NDArray[np.generic]) -> bytes:
    """Samples of 12 bits, rows beginning with a byte."""
    wide = rows.astype(">u2")
    spread = np.unpackbits(wide.view(np.uint8).reshape(*wide.shape, 2), axis=-1)[..., 4:]
    return np.packbits(spread.reshape(len(rows), -1), axis=-1).tobytes()


def packbits(content: bytes) -> bytes:
    """PackBits without runs: blocks of at most 128 literal bytes."""
    pieces = [content[at : at + 128] for at in range(0, len(content), 128)]
    return b"".join(bytes([len(piece) - 1]) + piece for piece in pieces)


def write_tiff(
    samples: NDArray[np.generic],
    *,
    photometric: int,
    bits: int,
    order: Order = "<",
    planar: int = 1,
    compression: int = 1,
    sample_format: int = 1,
    rows: int | None = None,
    tile: int | None = None,
    predictor: int = 1,
    fill_order: int = 1,
    extra: tuple[int, ...] = (),
    tags: dict[int, tuple[int, tuple[int, ...]]] | None = None,
    big: bool = False,
) -> bytes:
    """A TIFF of samples [H, W, channels]; `rows` per strip, or tiles of `tile` x `tile` px."""
    height, width, channels = samples.shape
    planes = [samples[..., c : c + 1] for c in range(channels)] if planar == 2 else [samples]
    blocks = []
    for plane in planes:
        if tile is None:
            step = rows or height
            blocks += [plane[top : top + step] for top in range(0, height, step)]
        else:
            down, across = -(-height // tile), -(-width // tile)
            padded = np.zeros((down * tile, across * tile, plane.shape[2]), plane.dtype)
            padded[:height, :width] = plane
            blocks += [
                padded[y * tile : y * tile + tile, x * tile : x * tile + tile]
                for y in range(down)
                for x in range(across)
            ]
    contents = [_encode(block, bits, order, compression, predictor, fill_order) for block in blocks]
    values: dict[int, tuple[int, tuple[int, ...]]] = {
        256: (LONG, (width,)),
        257: (LONG, (height,)),
        258: (SHORT, (bits,) * channels),
        259: (SHORT, (compression,)),
        262: (SHORT, (photometric,)),
        266: (SHORT, (fill_order,)),
        277: (SHORT, (channels,)),
        284: (SHORT, (planar,)),
        317: (SHORT, (predictor,)),
        339: (SHORT, (sample_format,) * channels),
    }
    if extra:
        values[338] = (SHORT, extra)
    counts = (LONG, tuple(map(len, contents)))
    if tile is None:
        values |= {273: (LONG, (0,) * len(contents)), 278: (LONG, (rows or height,)), 279: counts}
    else:
        values |= {322: (LONG, (tile,)), 323: (LONG, (tile,)), 324: (LONG, (0,) * len(contents)), 325: counts}
    return assemble(values | (tags or {}), contents, order, big=big)


def assemble(
    values: dict[int, tuple[int, tuple[int, ...]]], contents: list[bytes], order: Order, *, big: bool = False
) -> bytes:
    """A file of one directory; the offsets of strips or tiles are filled in."""
    head = 16 if big else 8
    starts, at = [], head
    for content in contents:
        starts.append(at)
        at += len(content) + len(content) % 2
    for tag in (273, 324):
        if tag in values:
            values[tag] = (LONG, tuple(starts))
    body = b"".join(content + b"\0" * (len(content) % 2) for content in contents)
    entry, inline = (20, 8) if big else (12, 4)
    directory = head + len(body)
    far = directory + (8 if big else 2) + entry * len(values) + (8 if big else 4)
    table, outside = struct.pack(f"{order}Q" if big else f"{order}H", len(values)), b""
    for tag in sorted(values):
        kind, numbers = values[tag]
        packed = struct.pack(f"{order}{len(numbers)}{LETTERS[kind]}", *numbers)
        table += struct.pack(f"{order}HHQ" if big else f"{order}HHI", tag, kind, len(numbers))
        if len(packed) <= inline:
            table += packed.ljust(inline, b"\0")
        else:
            table += struct.pack(f"{order}Q" if big else f"{order}I", far + len(outside))
            outside += packed + b"\0" * (len(packed) % 2)
    mark = b"II" if order == "<" else b"MM"
    if big:
        header = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, directory)
        return header + body + table + struct.pack(f"{order}Q", 0) + outside
    return mark + struct.pack(f"{order}HI", 42, directory) + body + table + struct.pack(f"{order}I", 0) + outside


def _encode(
    block: NDArray[np.generic], bits: int, order: Order, compression: int, predictor: int, fill_order: int
) -> bytes:
    if predictor == 2:
        left = np.concatenate([np.zeros_like(block[:, :1]), block[:, :-1]], 1)
        block = (block - left).astype(block.dtype)
    rows = block.reshape(len(block), -1)
    content = pack_12_bits(rows) if bits == 12 else pack_bits(rows, bits, order)
    if compression in (8, 32946):
        content = zlib.compress(content)
    elif compression == 32773:
        content = packbits(content)
    if fill_order == 2:
        content = np.packbits(np.unpackbits(np.frombuffer(content, np.uint8).reshape(-1, 1), axis=1)[:, ::-1]).tobytes()
    return content

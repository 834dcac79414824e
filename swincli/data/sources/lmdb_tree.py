"""Reader of an LMDB's B+ tree: its keys, and the offset and size of each value in the file.

The layout is that of https://github.com/LMDB/lmdb (libraries/liblmdb/mdb.c, data version 1) on 64-bit little-endian
machines. There are two meta pages; the newer one points to the root of the tree. Branch pages hold keys and page
numbers. Leaf pages hold keys and values. Large values are on overflow pages.

The LMDB library maps the file into memory, and a bus error ends the process if the file was cut short. This reader
checks every page number and offset before it uses it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

_MAGIC: Final = 0xBEEFC0DE
_VERSION: Final = 1
_PAGE: Final = struct.Struct("<QHHHH")  # number, padding, flags, end of the pointers, start of the nodes
_META: Final = struct.Struct("<IIQQ")  # magic, version, address, size of the map
_TREE: Final = struct.Struct("<IHHQQQQQ")  # size of a page, flags, depth, branches, leaves, overflows, entries, root
_TAIL: Final = struct.Struct("<QQ")  # last page, transaction
_NODE: Final = struct.Struct("<HHHH")  # two halves of a size, flags, size of the key
_NUMBER: Final = struct.Struct("<Q")
_BRANCH, _LEAF = 0x01, 0x02
_LARGE: Final = 0x01  # node flag: the value is on overflow pages
_NO_PAGE: Final = 2**64 - 1
_HEADER: Final = 16
_DEEPEST: Final = 32  # LMDB's own limit
_DAMAGED: Final = "one of its pages is damaged"
_CUT: Final = "it is cut short"


class LmdbError(ValueError):
    """The file is not a complete LMDB with plain keys and values. The message says why."""


@dataclass(frozen=True, slots=True)
class ValueRange:
    """Offset of a value in the file, and its size in bytes."""

    start: int
    size: int


def looks_like_lmdb(head: bytes) -> bool:
    """Whether the first 20 bytes of a file are those of an LMDB."""
    return len(head) >= _HEADER + 4 and struct.unpack_from("<I", head, _HEADER)[0] == _MAGIC


def read_tree(stream: IO[bytes], length: int) -> Iterator[tuple[bytes, ValueRange]]:
    """Iterate over the keys of an LMDB in order, with the range of each value.

    Args:
        stream: The file.
        length: Its size in bytes.

    Raises:
        LmdbError: The file is damaged, cut short, or has more than plain keys and values.
    """
    page_size, flags, entries, root = _newest_tree(stream, length)
    if flags & ~0x08:
        raise LmdbError("its keys are not plain")
    found = 0
    if root != _NO_PAGE:
        for item in _walk(stream, length, page_size, root):
            found += 1
            yield item
    if found != entries:
        raise LmdbError(f"it holds {found:,} of {entries:,} keys")


def _newest_tree(stream: IO[bytes], length: int) -> tuple[int, int, int, int]:
    """Page size, and flags, number of entries and root page of the newest tree."""
    metas = []
    page_size = 0
    for place in (0, 1):
        start = _HEADER + place * page_size
        stream.seek(start)
        data = stream.read(_META.size + 2 * _TREE.size + _TAIL.size)
        if len(data) < _META.size + 2 * _TREE.size + _TAIL.size:
            raise LmdbError(_CUT)
        magic, version = _META.unpack_from(data)[:2]
        if magic != _MAGIC:
            raise LmdbError("one of its two meta pages is damaged")
        if version != _VERSION:
            raise LmdbError(f"its version is {version}; version {_VERSION} is supported")
        page_size = page_size or _TREE.unpack_from(data, _META.size)[0]
        if page_size not in (2**power for power in range(9, 17)):
            raise LmdbError("one of its two meta pages is damaged")
        _, flags, _, _, _, _, entries, root = _TREE.unpack_from(data, _META.size + _TREE.size)
        transaction = _TAIL.unpack_from(data, _META.size + 2 * _TREE.size)[1]
        metas.append((transaction, -place, flags, entries, root))
    _, _, flags, entries, root = max(metas)
    if root != _NO_PAGE and (root + 1) * page_size > length:
        raise LmdbError(_CUT)
    return page_size, flags, entries, root


def _walk(stream: IO[bytes], length: int, page_size: int, root: int) -> Iterator[tuple[bytes, ValueRange]]:
    """Iterate over the leaves below a page from left to right."""
    visited: set[int] = set()
    waiting = [(root, 1)]
    while waiting:
        number, depth = waiting.pop()
        if number in visited or depth > _DEEPEST:
            raise LmdbError("its pages form a loop")
        visited.add(number)
        page, flags = _read_page(stream, length, page_size, number)
        nodes = list(_nodes(page))
        if flags & _BRANCH:
            children = [low | high << 16 | upper << 32 for _, low, high, upper, _ in nodes]
            waiting.extend((child, depth + 1) for child in reversed(children))
        else:
            for at, low, high, node_flags, key_size in nodes:
                value_at = at + _NODE.size + key_size
                place = (number * page_size + value_at, low | high << 16)
                if node_flags == _LARGE:
                    place = (_overflow(page, value_at, page_size), place[1])
                elif node_flags or value_at + place[1] > page_size:
                    raise LmdbError("it holds databases inside the database" if node_flags else _DAMAGED)
                if sum(place) > length:
                    raise LmdbError(_CUT)
                yield page[at + _NODE.size : value_at], ValueRange(*place)


def _read_page(stream: IO[bytes], length: int, page_size: int, number: int) -> tuple[bytes, int]:
    if (number + 1) * page_size > length:
        raise LmdbError(_CUT)
    stream.seek(number * page_size)
    page = stream.read(page_size)
    if len(page) < page_size:
        raise LmdbError(_CUT)
    found, _, flags, lower, upper = _PAGE.unpack_from(page)
    if found != number or flags & ~0x10 not in (_BRANCH, _LEAF) or not _HEADER <= lower <= upper <= page_size:
        raise LmdbError(_DAMAGED)
    return page, flags


def _nodes(page: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Offset and header of each node: both halves of the size, flags, key size."""
    _, _, _, lower, upper = _PAGE.unpack_from(page)
    for (at,) in struct.iter_unpack("<H", page[_HEADER : lower - (lower - _HEADER) % 2]):
        if not upper <= at <= len(page) - _NODE.size:
            raise LmdbError(_DAMAGED)
        low, high, flags, key_size = _NODE.unpack_from(page, at)
        if at + _NODE.size + key_size > len(page):
            raise LmdbError(_DAMAGED)
        yield at, low, high, flags, key_size


def _overflow(page: bytes, at: int, page_size: int) -> int:
    """Offset of a large value. A leaf holds the number of its first overflow page, at offset `at`."""
    if at + _NUMBER.size > page_size:
        raise LmdbError(_DAMAGED)
    return int(_NUMBER.unpack_from(page, at)[0]) * page_size + _HEADER

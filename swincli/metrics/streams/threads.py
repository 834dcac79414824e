"""Doing work ahead in threads, and regrouping what comes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
U = TypeVar("U")


def in_order(items: Iterable[T], work: Callable[[T], U], workers: int, ahead: int) -> Generator[U]:
    """`work` of every item, in their order, with at most `ahead` results waiting; `items` is read in this thread."""
    with ThreadPoolExecutor(workers, thread_name_prefix="pictures") as pool:
        waiting: deque[Future[U]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def grouped(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last may be shorter."""
    group: list[T] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def regrouped(blocks: Iterable[NDArray[np.float32]], rows: int) -> Iterator[NDArray[np.float32]]:
    """The rows of blocks [n, D] in blocks of exactly `rows`; the last may be shorter."""
    waiting: list[NDArray[np.float32]] = []
    missing = rows
    for block in blocks:
        rest = block
        while len(rest) >= missing:
            waiting.append(rest[:missing])
            rest = rest[missing:]
            yield np.concatenate(waiting)
            waiting, missing = [], rows
        if len(rest):
            waiting.append(rest)
            missing -= len(rest)
    if waiting:
        yield np.concatenate(waiting)

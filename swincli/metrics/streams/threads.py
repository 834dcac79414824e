"""Mapping over threads in order, batching of items, and regrouping of rows into blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
U = TypeVar("U")


def map_in_order(
    items: Iterable[T],
    work: Callable[[T], U],
    workers: int,
    ahead: int,
    size: Callable[[U], int] = lambda _: 0,
    room: int = 0,
) -> Generator[U]:
    """Apply `work` to the items in threads and yield the results in order.

    At most `ahead` results wait. If `size` gives their bytes, fewer wait, so that they fit into `room` if all are as
    large as the largest one so far; but always one for each thread. `items` is read in the calling thread.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="images") as pool:
        waiting: deque[Future[U]] = deque()
        largest, most = 0, min(workers, ahead) if room else ahead
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                while len(waiting) > most:
                    result = waiting.popleft().result()
                    if room:
                        largest = max(largest, size(result), 1)
                        most = min(ahead, max(workers, room // largest))
                    yield result
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last one may be shorter."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def reblock(blocks: Iterable[NDArray[np.float32]], rows: int) -> Iterator[NDArray[np.float32]]:
    """Regroup the rows of blocks [n, D] into blocks of exactly `rows` rows; the last one may be shorter."""
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

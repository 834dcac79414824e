"""Decoding, cropping and resizing many pictures, over several processes, in the order of the source."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swincli.data.entries import Entry
from swincli.data.images import Crop, Filter, crop_center, decode, resize
from swincli.data.rejection import ImageError, Rejected
from swincli.errors import ResourceError

FEW = 256  # up to so many, starting processes costs more than it saves
_PENDING_EACH = 4  # tasks that wait for a process
_PENDING_BYTES = 2**28  # of undecoded files, over all tasks


@dataclass(frozen=True)
class Fit:
    """How pictures become squares of one size."""

    resolution: int
    crop: Crop
    filter: Filter


@dataclass(frozen=True)
class Fitted:
    """A picture that fits: pixels [H, W, 3], and whether it was smaller than that."""

    name: str
    pixels: NDArray[np.uint8]
    upscaled: bool


@dataclass(frozen=True)
class Oblong:
    """A picture that is not square where nothing may be cropped."""

    name: str
    width: int
    height: int


Outcome = Fitted | Oblong | Rejected


def fit(data: bytes, name: str, how: Fit) -> Outcome:
    """Decode, crop and resize the bytes of one picture."""
    try:
        image = decode(data, name)
    except ImageError as error:
        return Rejected(name, error.reason)
    if image.width != image.height:
        if how.crop == "none":
            return Oblong(name, image.width, image.height)
        image = crop_center(image)
    upscaled = image.width < how.resolution
    return Fitted(name, np.asarray(resize(image, how.resolution, how.filter)), upscaled)


def fit_all(entries: list[Entry], how: Fit, workers: int | None) -> Generator[Outcome]:
    """Fit every entry, in order, reading ahead no further than a bounded number of files.

    Args:
        entries: What to read.
        how: Size, crop and filter.
        workers: Processes that decode; as many as there are cores where None. One works without another process, and
            so do few pictures.

    Raises:
        ResourceError: a process died, as it does when memory runs out.
    """
    workers = _cores() if workers is None else workers
    if workers == 1 or len(entries) <= FEW:
        for entry in entries:
            try:
                data = entry.read()
            except ImageError as error:
                yield Rejected(entry.name, error.reason)
            else:
                yield fit(data, entry.name, how)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_process)
    try:
        yield from _fit_ahead(entries, how, pool, workers * _PENDING_EACH)
    except BrokenProcessPool as error:
        message = "a process that decodes pictures died, perhaps for want of memory"
        raise ResourceError(message, "Run it again with fewer --workers.") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _fit_ahead(entries: list[Entry], how: Fit, pool: ProcessPoolExecutor, most: int) -> Generator[Outcome]:
    pending: deque[tuple[Future[Outcome], int]] = deque()
    waiting_bytes = 0
    for entry in entries:
        while len(pending) >= most or (pending and waiting_bytes > _PENDING_BYTES):
            future, size = pending.popleft()
            waiting_bytes -= size
            yield future.result()
        try:
            data = entry.read()
        except ImageError as error:
            done: Future[Outcome] = Future()
            done.set_result(Rejected(entry.name, error.reason))
            pending.append((done, 0))
        else:
            waiting_bytes += len(data)
            with _holding_interrupts():
                pending.append((pool.submit(fit, data, entry.name, how), len(data)))
    while pending:
        yield pending.popleft()[0].result()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _holding_interrupts() -> Iterator[None]:
    """Put Ctrl-C off until the block's end; processes started in it never see one, even while they import."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops the pool
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # libtiff prints there what Pillow then raises
    os.close(nowhere)

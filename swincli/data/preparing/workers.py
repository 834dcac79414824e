"""Decoding, cropping and resizing many pictures, over several processes, in the order of the source."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from swincli.data.images.colour import WHITE, Colour
from swincli.data.images.crop_resize import Crop, Filter, Gamma, choose_region, shape
from swincli.data.images.decode import Jpeg, open_picture
from swincli.data.images.perceptual_hash import Fingerprint, fingerprint
from swincli.data.images.rejected import ImageError
from swincli.data.preparing.seen import Seen
from swincli.data.sources.entries import Entry
from swincli.data.store.codecs import Encoding, encode
from swincli.errors import ResourceError
from swincli.system.resources import usable_cores

NOT_SQUARE: Final = "not square"
FEW = 256  # up to so many, starting processes costs more than it saves
_PENDING_EACH = 4  # tasks that wait for a process
_PENDING_BYTES = 2**28  # of undecoded files, over all tasks
_TASK_FILES = 16  # that a process gets at once, at most
_TASK_BYTES = 2**22  # of files, after which a task is full
_TASK_PIXELS = 2**20  # bytes of pixels, that a task may come to
_ENOUGH = 4  # times the resolution: from a JPEG that is still so large, what was averaged while decoding cannot be told


@dataclass(frozen=True)
class Fit:
    """How pictures become squares of one size.

    Attributes:
        resolution: Side of the squares.
        crop: Which part of a picture stays.
        filter: What it is resized with.
        background: What shows through where it is transparent.
        gamma: Whether stored values are averaged, or the light that they stand for.
        min_size: What stays must be at least as wide and high, in pixels of the picture.
        jpeg: "fast" shrinks a JPEG while it is decoded, where that cannot be seen.
        fingerprint: Whether to tell how the square looks, to find near duplicates.
        encoding: What to make of the pixels besides.
    """

    resolution: int
    crop: Crop = "center"
    filter: Filter = "lanczos"
    background: Colour = WHITE
    gamma: Gamma = "srgb"
    min_size: int = 1
    jpeg: Jpeg = "fast"
    fingerprint: bool = False
    encoding: Encoding = "raw"


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        seen: What is known of it, and why it was left out if it was.
        pixels: uint8 [H, W, 3]; None where it was left out.
        encoded: They as a file, if asked for.
        fingerprint: How they look, if asked for.
    """

    seen: Seen
    pixels: NDArray[np.uint8] | None = None
    encoded: bytes | None = None
    fingerprint: Fingerprint | None = None


def fit(data: bytes, name: str, how: Fit) -> Outcome:
    """Decode, crop and resize the bytes of one picture."""
    digest = hashlib.sha256(data).digest()
    seen = Seen(name, len(data), digest)
    exact = how.jpeg == "exact" or how.gamma == "linear"  # shrinking while decoding averages stored values
    try:
        picture = open_picture(data, name, how.background, None if exact else _ENOUGH * how.resolution)
    except ImageError as error:
        return Outcome(replace(seen, reason=error.reason))
    width, height = picture.width, picture.height
    region = choose_region(width, height, how.crop, digest)
    upscaled = region.width < how.resolution
    seen = replace(seen, width=width, height=height, mode=picture.mode, kind=picture.kind, upscaled=upscaled)
    if min(region.width, region.height) < how.min_size:
        return Outcome(replace(seen, reason=f"too small: {width} x {height} px"))
    if how.crop == "none" and width != height:
        return Outcome(replace(seen, reason=f"{NOT_SQUARE}: {width} x {height} px"))
    pixels = shape(picture, region, how.resolution, how.filter, how.gamma)
    encoded = None if how.encoding == "raw" else encode(pixels, how.encoding)
    return Outcome(seen, pixels, encoded, fingerprint(pixels) if how.fingerprint else None)


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
    workers = usable_cores() if workers is None else workers
    if workers == 1 or len(entries) <= FEW:
        for entry in entries:
            try:
                data = entry.read()
            except ImageError as error:
                yield _unread(error)
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
    pending: deque[tuple[Future[list[Outcome]], int]] = deque()
    waiting_bytes = 0
    for files in _tasks(entries, how):
        size = sum(len(file.data) for file in files if isinstance(file, _File))
        while len(pending) >= most or (pending and waiting_bytes + size > _PENDING_BYTES):
            future, done = pending.popleft()
            waiting_bytes -= done
            yield from future.result()
        waiting_bytes += size
        with _holding_interrupts():
            pending.append((pool.submit(_fit_some, files, how), size))
    while pending:
        yield from pending.popleft()[0].result()


@dataclass(frozen=True)
class _File:
    """What has been read of an entry."""

    name: str
    data: bytes


def _tasks(entries: list[Entry], how: Fit) -> Iterator[list[_File | Outcome]]:
    """Read files, as many at a time as a process gets at once: handing one over costs as much as a small picture."""
    most = max(1, min(_TASK_FILES, _TASK_PIXELS // (3 * how.resolution**2)))
    files: list[_File | Outcome] = []
    size = 0
    for entry in entries:
        try:
            file = _File(entry.name, entry.read())
            size += len(file.data)
            files.append(file)
        except ImageError as error:
            files.append(_unread(error))
        if len(files) == most or size >= _TASK_BYTES:
            yield files
            files, size = [], 0
    if files:
        yield files


def _fit_some(files: list[_File | Outcome], how: Fit) -> list[Outcome]:
    return [fit(file.data, file.name, how) if isinstance(file, _File) else file for file in files]


def _unread(error: ImageError) -> Outcome:
    return Outcome(Seen(error.name, reason=error.reason))


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

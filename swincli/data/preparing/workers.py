"""Worker processes that decode and crop many pictures, with bounded read-ahead, in the order of the source."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess

from PIL import AvifImagePlugin

from swincli.data.images.decode import memory_need
from swincli.data.images.rejected import ImageError
from swincli.data.preparing.decode_crop import DecodedPicture, DecodeOptions, decode_and_crop
from swincli.data.preparing.survey import SourceRecord
from swincli.data.sources.entries import Entry
from swincli.errors import ResourceError
from swincli.system.resources import available_memory, usable_cores
from swincli.system.stop_signals import init_worker

SERIAL_FILES = 256  # with more files than this, processes are started at once
_SERIAL_BYTES = 2**24  # of fewer files, this process decodes so many bytes: as long as others take to start
_TASKS_PER_WORKER = 4  # largest number of tasks in the queue
_QUEUE_BYTES = 2**28  # undecoded files in the queue, in bytes
_MOST_ON_WINDOWS = 61  # processes that Windows can wait for
_LOOK_SECONDS = 1.0  # between two looks whether all processes are alive
_TASK_FILES = 16  # most files of one task
_TASK_BYTES = 2**22  # a task is full when its files have this many bytes
_TASK_PIXELS = 2**20  # most bytes of pixels that one task returns


def decode_all(entries: list[Entry], options: DecodeOptions, workers: int | None) -> Generator[DecodedPicture]:
    """Decode and crop all entries, in order. The number of files read ahead is bounded.

    Args:
        entries: Entries of a source.
        options: Size, crop and all else.
        workers: Number of worker processes; None for one per core. With 1 worker, or few and small files, no process
            is started.

    Raises:
        ResourceError: Memory does not suffice, or a worker died, usually because memory ran out.
    """
    workers = usable_cores() if workers is None else workers
    if sys.platform == "win32":
        workers = min(workers, _MOST_ON_WINDOWS)
    if workers == 1 or len(entries) <= SERIAL_FILES:
        done = yield from _decode_here(entries, options, None if workers == 1 else _SERIAL_BYTES)
        entries = entries[done:]
    if not entries:
        return
    context = multiprocessing.get_context("spawn")
    with _blocking_interrupts():  # multiprocessing starts a process of its own here
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_init_worker)
    done = False
    try:
        yield from _prefetch(entries, options, pool, workers * _TASKS_PER_WORKER, available_memory() // 2)
        done = True
    except BrokenProcessPool as error:
        message = "a process that decodes pictures died, perhaps out of memory"
        raise ResourceError(message, "Run it again with fewer --workers.") from error
    finally:
        if not done:
            _kill(pool)
        pool.shutdown(wait=done)


def _decode_here(
    entries: list[Entry], options: DecodeOptions, most: int | None
) -> Generator[DecodedPicture, None, int]:
    """Decode entries in this process until `most` bytes are done; return the number of entries."""
    size = 0
    for done, entry in enumerate(entries):
        if most is not None and size >= most:
            return done
        try:
            data = _read(entry)
        except ImageError as error:
            yield _unreadable(error)
        else:
            size += len(data)
            yield decode_and_crop(data, entry.name, options)
    return len(entries)


@dataclass(frozen=True)
class _Pending:
    """A task in the queue.

    Attributes:
        result: Its pictures.
        size: Bytes of its files.
        memory: Bytes that its largest picture may take while it is decoded.
    """

    result: Future[list[DecodedPicture]]
    size: int
    memory: int


def _prefetch(
    entries: list[Entry], options: DecodeOptions, pool: ProcessPoolExecutor, most: int, memory: int
) -> Generator[DecodedPicture]:
    """Keep at most `most` tasks, `_QUEUE_BYTES` bytes of files and `memory` bytes of pictures in the queue.

    A task that exceeds a limit by itself runs alone. Results come in order.
    """
    pending: deque[_Pending] = deque()
    for files in _tasks(entries, options):
        contents = [file.data for file in files if isinstance(file, _File)]
        size = sum(map(len, contents))
        need = max((memory_need(content, options.enough) for content in contents), default=0)
        while pending and (
            len(pending) >= most
            or sum(task.size for task in pending) + size > _QUEUE_BYTES
            or sum(task.memory for task in pending) + need > memory
        ):
            yield from _wait_for(pending.popleft().result, pool)
        with _blocking_interrupts():
            pending.append(_Pending(pool.submit(_decode_task, files, options), size, need))
    while pending:
        yield from _wait_for(pending.popleft().result, pool)


def _wait_for(future: Future[list[DecodedPicture]], pool: ProcessPoolExecutor) -> list[DecodedPicture]:
    """Wait for the result of a task.

    The pool itself does not notice that a process was killed if this happened in the middle of sending a result.

    Raises:
        BrokenProcessPool: A process has died.
    """
    while True:
        try:
            return future.result(timeout=_LOOK_SECONDS)
        except TimeoutError:
            if future.done():
                return future.result()
            if connection.wait([process.sentinel for process in _processes(pool)], timeout=0):
                raise BrokenProcessPool from None


def _processes(pool: ProcessPoolExecutor) -> list[BaseProcess]:
    """The processes of a pool; none once it has been shut down."""
    return list((getattr(pool, "_processes", None) or {}).values())


@dataclass(frozen=True)
class _File:
    """Name and content of an entry."""

    name: str
    data: bytes


def _tasks(entries: list[Entry], options: DecodeOptions) -> Iterator[list[_File | DecodedPicture]]:
    """Read files and group them into tasks: sending one file to a process costs as much as decoding a small picture."""
    most = max(1, min(_TASK_FILES, _TASK_PIXELS // (3 * options.resolution**2)))
    files: list[_File | DecodedPicture] = []
    size = 0
    for entry in entries:
        try:
            file = _File(entry.name, _read(entry))
            size += len(file.data)
            files.append(file)
        except ImageError as error:
            files.append(_unreadable(error))
        if len(files) == most or size >= _TASK_BYTES:
            yield files
            files, size = [], 0
    if files:
        yield files


def _decode_task(files: list[_File | DecodedPicture], options: DecodeOptions) -> list[DecodedPicture]:
    return [decode_and_crop(file.data, file.name, options) if isinstance(file, _File) else file for file in files]


def _read(entry: Entry) -> bytes:
    try:
        return entry.read()
    except MemoryError as error:
        hint = "Free memory, use fewer --workers, or leave the file out."
        raise ResourceError(f"{entry.name}: not enough memory to read the file", hint) from error


def _unreadable(error: ImageError) -> DecodedPicture:
    return DecodedPicture(SourceRecord(error.name, reason=error.reason))


def _kill(pool: ProcessPoolExecutor) -> None:
    """Kill the processes of a pool now; what they are decoding is not waited for.

    The pool's thread ends by itself. It would wait for ever for a result that a process had sent in part, and before
    Python 3.11.5 for a process to take the next task. So our copies of the other ends of these pipes are closed.
    """
    for process in _processes(pool):
        process.kill()
    ends = [("_result_queue", "_writer")]
    if sys.version_info < (3, 11, 5):  # later ones close it in that thread, and a second close could hit another file
        ends.append(("_call_queue", "_reader"))
    for queue, end in ends:
        pipe = getattr(getattr(pool, queue, None), end, None)
        if pipe is not None:
            pipe.close()


@contextmanager
def _blocking_interrupts() -> Iterator[None]:
    """Delay Ctrl-C and SIGHUP until the block ends. Processes started in it inherit the block and never see them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _init_worker() -> None:
    init_worker()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # every core has a process already
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)  # libtiff prints errors there that Pillow also raises
    os.close(devnull)

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from swincli.data.images.decode import PIXEL_BYTES
from swincli.data.images.rejected import ImageError
from swincli.data.preparing import workers
from swincli.data.preparing.decode_crop import DecodedPicture, DecodeOptions
from swincli.data.preparing.survey import SourceRecord
from swincli.data.preparing.workers import decode_all
from swincli.data.sources import open_source
from swincli.data.sources.entries import Entry
from swincli.errors import ResourceError

OPTIONS = DecodeOptions(16, "center", "box")


def test_rejections_keep_their_place(encode: Any, noise: Any) -> None:
    def refuse() -> bytes:
        raise ImageError("b", "cannot be read")

    good = encode(noise(16, 16))
    entries = [Entry("a", lambda: good), Entry("b", refuse), Entry("c", lambda: b"GIF89a"), Entry("d", lambda: good)]
    results = list(decode_all(entries, OPTIONS, 1))
    assert [result.pixels is not None for result in results] == [True, False, False, True]
    assert results[1].record == SourceRecord("b", reason="cannot be read")
    assert results[2].record.size == 6


@pytest.mark.usefixtures("worker_threads")
def test_workers_give_the_same_in_the_same_order(pictures: Path) -> None:
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (pictures / "about.txt").write_text("hello")
    entries = list(open_source(str(pictures))) * 3
    alone = list(decode_all(entries, OPTIONS, 1))
    together = list(decode_all(entries, OPTIONS, 2))
    assert len(alone) == len(together) == 21
    for one, two in zip(alone, together, strict=True):
        assert one.record == two.record
        assert np.array_equal(one.pixels, two.pixels)


class Pool:
    """Stands in for processes: counts what waits to be fetched."""

    def __init__(self) -> None:
        self.waiting = self.most = 0

    def submit(self, work: Callable[..., object], *arguments: object) -> Any:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return type("Task", (), {"result": lambda *_, **__: self._done(work, arguments)})()

    def _done(self, work: Callable[..., object], arguments: tuple[object, ...]) -> object:
        self.waiting -= 1
        return work(*arguments)


@pytest.mark.parametrize(("limit", "most"), [(10**9, 6), (1, 1), (2000, 2)])
def test_reading_ahead_is_bounded(
    limit: int, most: int, encode: Any, noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(noise(17, 17)).ljust(999, b"\0")
    entries = [Entry(str(number), lambda: data) for number in range(20)]
    monkeypatch.setattr(workers, "_QUEUE_BYTES", limit)
    monkeypatch.setattr(workers, "_TASK_FILES", 1)
    pool: Any = Pool()
    results = list(workers._prefetch(entries, OPTIONS, pool, 6, 10**12))
    assert [result.record.name for result in results] == [str(n) for n in range(20)]
    assert pool.most == most
    assert pool.waiting == 0


@pytest.mark.parametrize(("memory", "most"), [(10**9, 6), (1, 1), (3 * PIXEL_BYTES * 17 * 17, 3)])
def test_fewer_large_pictures_are_decoded_at_once(
    memory: int, most: int, encode: Any, noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(noise(17, 17))
    entries = [Entry(str(number), lambda: data) for number in range(8)]
    monkeypatch.setattr(workers, "_TASK_FILES", 1)
    pool: Any = Pool()
    results = list(workers._prefetch(entries, OPTIONS, pool, 6, memory))
    assert [result.record.name for result in results] == [str(n) for n in range(8)]
    assert pool.most == most


@pytest.mark.parametrize("alone", [20, 5, 1])
def test_processes_start_once_a_few_files_are_large(
    alone: int, encode: Any, noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(noise(17, 17), "BMP")
    reads: list[str] = []

    def entry(name: str) -> Entry:
        return Entry(name, lambda: reads.append(name) or data)  # type: ignore[func-returns-value]

    def handed_over(entries: list[Entry], *_: object) -> Any:
        for rest in entries:
            yield DecodedPicture(SourceRecord(rest.name))

    monkeypatch.setattr(workers, "_SERIAL_BYTES", alone * len(data))
    monkeypatch.setattr(workers, "ProcessPoolExecutor", Mock())
    monkeypatch.setattr(workers, "_prefetch", handed_over)
    results = list(decode_all([entry(str(number)) for number in range(20)], OPTIONS, 2))
    assert [result.record.name for result in results] == [str(number) for number in range(20)]
    assert len(reads) == alone
    reads.clear()
    assert all(result.pixels is not None for result in decode_all([entry("a")] * 20, OPTIONS, 1))
    assert len(reads) == 20


@pytest.mark.parametrize(
    ("side", "limit", "tasks"),
    [(16, 10**9, [16, 4]), (256, 10**9, [5, 5, 5, 5]), (1024, 10**9, [1] * 20), (16, 2500, [3] * 6 + [2])],
)
def test_files_are_handed_over_together(
    side: int, limit: int, tasks: list[int], encode: Any, noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(noise(17, 17)).ljust(999, b"\0")
    entries = [Entry(str(number), lambda: data) for number in range(20)]
    monkeypatch.setattr(workers, "_TASK_BYTES", limit)
    assert [len(files) for files in workers._tasks(entries, replace(OPTIONS, resolution=side))] == tasks


def test_a_process_that_dies_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "SERIAL_FILES", 0)
    monkeypatch.setattr(workers, "_prefetch", Mock(side_effect=BrokenProcessPool))
    with pytest.raises(ResourceError, match="died, perhaps out of memory") as caught:
        list(decode_all([Entry("a", lambda: b"")], OPTIONS, 2))
    assert "--workers" in str(caught.value.hint)


def test_a_process_that_dies_while_it_sends_a_result_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    sentinel, alive = os.pipe()
    pool: Any = SimpleNamespace(_processes={1: SimpleNamespace(sentinel=sentinel)})
    monkeypatch.setattr(workers, "_LOOK_SECONDS", 0.01)
    future: Future[Any] = Future()
    threading.Timer(0.05, os.close, [alive]).start()  # as the system does when a process dies
    with pytest.raises(BrokenProcessPool):
        workers._wait_for(future, pool)
    future.set_result([])
    assert workers._wait_for(future, pool) == []
    os.close(sentinel)


def test_no_more_processes_than_windows_can_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def start(number: int, **_: object) -> None:
        asked.append(number)
        raise ArithmeticError

    monkeypatch.setattr(workers, "ProcessPoolExecutor", start)
    monkeypatch.setattr(workers, "usable_cores", lambda: 128)
    monkeypatch.setattr(workers, "SERIAL_FILES", 0)
    for platform, most in (("linux", 128), ("win32", 61)):
        monkeypatch.setattr("sys.platform", platform)
        for number in (None, 128):
            with pytest.raises(ArithmeticError):
                next(decode_all([Entry("a", bytes)], OPTIONS, number))
            assert asked[-1] == most

"""A zip that was opened before processes fork: each reads by a handle of its own."""

from __future__ import annotations

import os
import threading
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from swincli.data.sources import open_source
from swincli.data.sources.entries import Source

HEAD = b"\x89PNG\r\n\x1a\n"


def read_all(source: Source, expected: list[bytes], rounds: int = 20) -> bool:
    return all([entry.read() for entry in source] == expected for _ in range(rounds))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_forked_processes_do_not_move_one_anothers_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    expected = [HEAD + random.bytes(20_000) for _ in range(30)]
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for number, data in enumerate(expected):
            archive.writestr(f"{number:02d}.png", data)
    monkeypatch.chdir(tmp_path)
    with open_source("set.zip") as source:
        children = []
        for _ in range(2):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
                child = os.fork()
            if child == 0:
                os.chdir("/")  # the path still leads to the zip
                try:
                    os._exit(0 if read_all(source, expected) else 1)
                finally:
                    os._exit(2)
            children.append(child)
        assert read_all(source, expected)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]


def test_threads_share_one_handle(tmp_path: Path) -> None:
    expected = [HEAD + bytes([number]) * 5000 for number in range(30)]
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(expected):
            archive.writestr(f"{number:02d}.png", data)
    right: list[bool] = []
    with open_source(str(tmp_path / "set.zip")) as source:
        threads = [threading.Thread(target=lambda: right.append(read_all(source, expected, 3))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert right == [True] * 8

"""SHA-256 of a file, and of a stream in a thread."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swincli.system import file_hash


def test_the_hash_and_the_parts_are_those_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_hash, "_CHUNK", 7)
    path, content = tmp_path / "file", bytes(range(100))
    path.write_bytes(content)
    parts: list[bytes] = []
    expected = hashlib.sha256(content).hexdigest()
    assert file_hash.file_sha256(path, parts.append) == file_hash.file_sha256(path) == expected
    assert len(parts) == 15
    assert b"".join(parts) == content


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_hash.file_sha256(tmp_path / "none")


@given(parts=st.lists(st.binary(max_size=40), max_size=30), first=st.binary(max_size=9))
def test_a_thread_hashes_what_one_call_hashes(parts: list[bytes], first: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_hash, "_PORTION", 16)
        patch.setattr(file_hash, "_WAITING", 50)
        digest = file_hash.ThreadedHash(first)
        for part in parts:
            digest.update(part)
        assert digest.hexdigest() == hashlib.sha256(first + b"".join(parts)).hexdigest()


def test_few_bytes_wait_for_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_hash, "_PORTION", 1)
    monkeypatch.setattr(file_hash, "_WAITING", 100)
    waited: list[str] = []
    blocked = threading.Event()
    monkeypatch.setattr(file_hash, "_add_all", lambda *_: blocked.wait(10) and None)
    digest = file_hash.ThreadedHash()

    def add() -> None:
        for number in range(30):
            digest.update(bytes(10))
            waited.append(str(number))

    thread = threading.Thread(target=add)
    thread.start()
    thread.join(0.2)
    assert len(waited) == 11  # ten wait, and one is hashed
    blocked.set()
    thread.join()
    assert len(waited) == 30

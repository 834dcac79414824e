"""SHA-256 of a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

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

"""Files appear complete or not at all; errors of the operating system get a clear message."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from swincli.errors import ResourceError
from swincli.system.atomic_files import append_json_line, free_bytes, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        assert not path.exists()

    write_atomically(path, write)
    assert path.read_text() == "new"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("ne")
        raise error

    with pytest.raises(error):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_an_error_that_hides_the_systems_is_put_into_words(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        temporary.mkdir()  # a path that cannot be written
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    with pytest.raises(ResourceError, match=r"writing .*file: Is a directory"):
        write_atomically(tmp_path / "file", write)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"writing .*file/below"):
        write_atomically(tmp_path / "file" / "below", lambda path: path.touch())


def test_lines_are_appended(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for number in range(3):
        append_json_line(log, {"number": number})
    assert [json.loads(line)["number"] for line in log.read_text().splitlines()] == [0, 1, 2]


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    append_json_line(log, {"fid": float("nan"), "intervals": {"fid": (0.5, float("inf"))}})
    assert log.read_text() == '{"fid": null, "intervals": {"fid": [0.5, null]}}\n'


@pytest.mark.parametrize(("before", "lines"), [("", 1), ('{"number": 0}\n', 2), ('{"number": 0}\n{"numb', 3), ("{", 2)])
def test_a_line_after_a_cut_one_is_whole(tmp_path: Path, before: str, lines: int) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(before)
    append_json_line(log, {"number": 1})
    found = log.read_text().splitlines()
    assert len(found) == lines
    assert json.loads(found[-1]) == {"number": 1}
    assert log.read_text().startswith(before)


def test_a_line_that_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    log = tmp_path / "log.jsonl"
    append_json_line(log, {"number": 0})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(ResourceError, match=r"writing .*log.jsonl: File too large"):
            append_json_line(log, {"text": "x" * 200})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    append_json_line(log, {"number": 1})
    assert [json.loads(line)["number"] for line in log.read_text().splitlines()] == [0, 1]


def test_free_space_is_known_of_what_does_not_exist_yet(tmp_path: Path) -> None:
    there = os.statvfs(tmp_path)
    assert 0 < free_bytes(tmp_path / "not" / "yet") <= there.f_blocks * there.f_frsize


def test_what_is_written_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    def write_privately(path: Path) -> None:
        path.touch(mode=0o600)

    usual = tmp_path / "usual"
    usual.touch()
    write_atomically(tmp_path / "written", write_privately)
    assert (tmp_path / "written").stat().st_mode == usual.stat().st_mode


@pytest.mark.skipif(os.name != "posix", reason="folders are synced on POSIX only")
def test_disks_without_permissions_or_synced_folders_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network disks and sticks."""
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    def chmod(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "chmod", chmod)
    write_atomically(tmp_path / "file", lambda temporary: temporary.write_text("new"))
    assert (tmp_path / "file").read_text() == "new"

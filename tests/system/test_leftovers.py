"""What killed processes leave is removed, and only that; it stops no command."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from swincli.system.atomic_files import write_atomically
from swincli.system.leftovers import hidden_beside, host, leftovers, remove_leftovers


@cache
def dead() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_files_and_folders_of_dead_processes_are_removed(tmp_path: Path) -> None:
    gone = [f".a.png.partial-{host()}-{dead()}", f".deep/.b.partial-{dead()}", f".c.pt.partial-{host()}-{os.getpid()}"]
    kept = [
        f".a.png.partial-{host()}-{os.getppid()}",  # lives
        f".b.partial-{os.getppid()}",  # of an earlier version, lives
        f".a.png.partial-elsewhere-{dead()}",  # of another machine: nobody here knows
        ".mine.partial-copy",
        f"a.partial-{dead()}",
    ]
    for name in [*gone, *kept]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("half")
    for folder in (f".store.partial-{host()}-{dead()}", f".walk.partial-{dead()}"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "frame-000000.png").touch()
    remove_leftovers(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {*kept, ".deep"}


def test_two_machines_on_one_disk_write_different_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for machine in ("one-1", "one-2"):
        monkeypatch.setattr("platform.node", lambda machine=machine: machine)
        write_atomically(tmp_path / "file", lambda path: (names.append(path.name), path.touch()))
    assert names == [f".file.partial-one1-{os.getpid()}", f".file.partial-one2-{os.getpid()}"]


@pytest.mark.parametrize("name", ["x" * 250 + ".png", "ü" * 120 + ".png", "short"])
def test_hidden_names_fit_in_a_name(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, lambda path: path.write_text("new"))
    assert (tmp_path / name).read_text() == "new"
    hidden_beside(tmp_path / name, "partial").touch()
    assert leftovers(tmp_path / name, "partial") == [hidden_beside(tmp_path / name, "partial")]
    assert leftovers(tmp_path / "other", "partial") == []

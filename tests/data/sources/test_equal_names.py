"""Several files of an archive with one name: the last one counts, and the others are counted in a message."""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from swincli.commands.app import run
from swincli.data.sources import open_source

GIF = b"GIF89a" + b"\0" * 40
Write = Callable[[Path, Sequence[str]], None]


def zipped(path: Path, names: Sequence[str]) -> None:
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, GIF + bytes([number]))


def tarred(path: Path, names: Sequence[str]) -> None:
    with tarfile.open(path, "w") as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = len(GIF) + 1
            archive.addfile(info, io.BytesIO(GIF + bytes([number])))


@pytest.mark.parametrize(
    ("names", "found", "said"),
    [
        (["a.gif", "b.gif"], {"a.gif": 0, "b.gif": 1}, None),
        (["a.gif", "a.gif", "b.gif"], {"a.gif": 1, "b.gif": 2}, "1 file has the name of a later one (a.gif)"),
        (["a.gif", "b.gif", "a.gif", "b.gif", "b.gif"], {"a.gif": 2, "b.gif": 4},
         "3 files have the name of a later one (a.gif, b.gif)"),
        (["s/a.gif", "./s/a.gif", "/s/a.gif", "s\\a.gif"], {"s/a.gif": 3},
         "3 files have the name of a later one (s/a.gif)"),
        (["s/", "s/", "s/a.gif"], {"s/a.gif": 2}, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("write", [zipped, tarred])
def test_files_of_one_name_are_counted(
    write: Write, names: list[str], found: dict[str, int], said: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "archive"
    write(path, [name for name in names if write is zipped or not name.endswith("/")])
    number_of_folders = 0 if write is zipped else sum(name.endswith("/") for name in names)
    with open_source(str(path)) as source:
        numbers = {entry.name: entry.read()[-1] + number_of_folders for entry in source}
        assert numbers == found
        assert source.notes == (() if said is None else (f"{path}: {said}; the last one of a name counts",))


def test_hidden_files_of_one_name_are_passed_over_only(tmp_path: Path) -> None:
    zipped(tmp_path / "x.zip", [".DS_Store", ".DS_Store", "a.gif", "a.gif"])
    with open_source(str(tmp_path / "x.zip")) as source:
        hidden, replaced = source.notes
    assert "passed over 1 hidden or system item (1 .DS_Store)" in hidden
    assert "1 file has the name of a later one" in replaced


@pytest.mark.parametrize("write", [zipped, tarred])
def test_the_command_says_so(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "archive", ["a.gif", "a.gif"])
    run(["prepare-data", str(tmp_path / "archive"), str(tmp_path / "store"), "--resolution", "16"])
    assert "1 file has the name of a later one (a.gif)" in " ".join(capsys.readouterr().err.split())

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swincli.data.sources import open_source
from swincli.errors import DataError, ResourceError

GIF = b"GIF89a" + bytes(range(40))
FILES = {"b.gif": GIF + b"b" * 600, "a/z.gif": GIF, "./a/b/c.gif": GIF + b"c", "/abs.gif": GIF}
SORTED = ["a/b/c.gif", "a/z.gif", "abs.gif", "b.gif"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_every_kind_of_tar_is_read_in_the_order_of_names(mode: str, tmp_path: Path, write_tar: Any, read: Any) -> None:
    found = read(write_tar(tmp_path / "pictures.any", FILES, mode))
    assert list(found) == SORTED
    assert found["b.gif"] == FILES["b.gif"]
    assert found["a/b/c.gif"] == FILES["./a/b/c.gif"]


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names(kind: int, tmp_path: Path, read: Any) -> None:
    name = f"{'long/' * 15}ü{'x' * 60}.gif"
    with tarfile.open(tmp_path / "x.tar", "w", format=kind) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(GIF)
        archive.addfile(info, io.BytesIO(GIF))
    assert read(tmp_path / "x.tar") == {name: GIF}


def test_names_that_are_no_text_and_names_that_lead_out(tmp_path: Path, write_tar: Any, read: Any) -> None:
    outside = tmp_path / "evil.gif"
    files = {"caf\udce9.gif": GIF, "../evil.gif": GIF, "a\x1b[2J.gif": GIF, str(outside): GIF, ".hidden.gif": GIF}
    inside = tmp_path / "in"
    inside.mkdir()
    found = read(write_tar(inside / "x.tar", files))
    assert set(found) == {"caf\\udce9.gif", "../evil.gif", "a\\x1b[2J.gif", str(outside).lstrip("/")}
    assert set(found.values()) == {GIF}
    assert not outside.exists()
    assert [item.name for item in inside.iterdir()] == ["x.tar"]


def test_what_is_no_plain_file_is_named(tmp_path: Path, read: Any) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind, target in (
            ("a.gif", tarfile.SYMTYPE, "b.gif"), ("b.gif", tarfile.SYMTYPE, "a.gif"),
            ("c.gif", tarfile.LNKTYPE, "c.gif"), ("d.gif", tarfile.FIFOTYPE, ""),
            ("e.gif", tarfile.CHRTYPE, ""), ("folder", tarfile.DIRTYPE, ""),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    assert set(read(tmp_path / "x.tar").values()) == {"not a plain file of the tar"}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_tar_that_was_cut_short_is_named(mode: str, share: float, tmp_path: Path, write_tar: Any) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{number}.gif": GIF + os.urandom(3000) for number in range(9)}, mode)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)] if mode != "w" else data[: int(9 * 3584 * share)])
    with pytest.raises(DataError, match=r"x\.tar is a damaged tar") as caught:
        open_source(str(path))
    assert caught.value.hint == "Copy or download it again."


def test_a_tar_that_ends_between_two_files_is_cut_short(tmp_path: Path, write_tar: Any) -> None:
    path = write_tar(tmp_path / "x.tar", {"a.gif": GIF, "b.gif": GIF})
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(DataError, match="cut short, or a header in it cannot be read"):
        open_source(str(path))


def test_a_damaged_header_is_no_end(tmp_path: Path, write_tar: Any) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{number}.gif": GIF for number in range(5)})
    data = bytearray(path.read_bytes())
    data[3 * 1024 + 150] ^= 1  # the checksum of the fourth
    path.write_bytes(data)
    with pytest.raises(DataError, match="cut short, or a header in it cannot be read"):
        open_source(str(path))


def test_zstandard_is_answered_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "x.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    with pytest.raises(DataError, match="compressed with Zstandard") as caught:
        open_source(str(tmp_path / "x.tar.zst"))
    assert caught.value.hint == "Unpack it: zstd -d FILE"


def test_a_full_temporary_folder_is_named(tmp_path: Path, write_tar: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "x.tar.gz", FILES, "w:gz")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", refuse)
    with pytest.raises(ResourceError, match=r"unpacking .*x\.tar\.gz into .*: no space left"):
        open_source(str(path))


def test_labels_inside_a_tar(tmp_path: Path, write_tar: Callable[..., Path]) -> None:
    path = write_tar(tmp_path / "x.tar", {"a.gif": GIF, "dataset.json": b'{"labels": null}'})
    with open_source(str(path)) as source:
        assert (source.label_file, [entry.name for entry in source]) == ("dataset.json", ["a.gif"])
        assert source.read_file("dataset.json") == b'{"labels": null}'
        with pytest.raises(KeyError):
            source.read_file("other.json")

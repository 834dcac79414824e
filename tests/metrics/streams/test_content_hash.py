"""The hash of a reference is remembered by its files, and a changed file is noticed."""

from __future__ import annotations

import os
import shutil
import sys
import time
import zipfile
from pathlib import Path

import pytest
from picture_folders import PictureFolder
from PIL import Image

from swincli.metrics.streams import content_hash
from swincli.metrics.streams.images import open_images
from swincli.system.cache import cache_folder


def hashed(path: Path | str) -> tuple[str, int]:
    """The content hash, and the number of images that were read for it."""
    read: list[int] = []
    with open_images(str(path)) as images:
        return images.content_hash(lambda count=1: read.append(count)), len(read)


@pytest.fixture
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now count as older ones."""
    monkeypatch.setattr(content_hash, "SETTLED", -60.0)


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return folder.with_suffix(".zip")


def listed(folder: Path) -> Path:
    path = folder.with_suffix(".txt")
    path.write_text("".join(f"{file}\n" for file in sorted(folder.iterdir())))
    return path


@pytest.mark.usefixtures("_settled")
@pytest.mark.parametrize("kind", ["folder", "zip", "list"])
def test_what_has_not_changed_is_read_once(
    kind: str, picture_folder: PictureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = picture_folder("reals", 5)
    path = {"folder": lambda _: folder, "zip": zipped, "list": listed}[kind](folder)
    first, again = hashed(path), hashed(path)
    assert (first[1], again[1]) == (5, 0)
    assert first[0] == again[0]
    monkeypatch.chdir(tmp_path)
    assert hashed(path.name) == again  # the same place, spelled otherwise
    shutil.rmtree(cache_folder() or "")
    assert hashed(path) == first


@pytest.mark.usefixtures("_settled")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no time of the inode's change")
@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_a_file_of_the_same_name_size_and_date_is_noticed(how: str, picture_folder: PictureFolder) -> None:
    folder = picture_folder("reals", 3)
    Image.new("RGB", (16, 16), "red").save(folder / "0001.bmp")
    before, (path, status) = hashed(folder), (folder / "0001.bmp", (folder / "0001.bmp").stat())
    time.sleep(0.02)  # a tick of the file system's clock
    Image.new("RGB", (16, 16), "blue").save(folder.parent / "other.bmp")
    if how == "in place":
        path.write_bytes((folder.parent / "other.bmp").read_bytes())
    else:
        (folder.parent / "other.bmp").replace(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    after = hashed(folder)
    assert after[1] == 4
    assert after[0] != before[0]


@pytest.mark.usefixtures("_settled")
def test_other_changes_are_noticed(picture_folder: PictureFolder) -> None:
    folder = picture_folder("reals", 4)
    hashes = [hashed(folder)]
    (folder / "0003.png").rename(folder / "0004.png")
    hashes.append(hashed(folder))
    (folder / "0004.png").unlink()
    hashes.append(hashed(folder))
    assert [read for _, read in hashes] == [4, 4, 3]
    assert len({found for found, _ in hashes}) == 3


def test_files_that_were_written_just_now_are_not_trusted(picture_folder: PictureFolder) -> None:
    folder = picture_folder("reals", 3)
    assert [hashed(folder)[1] for _ in range(2)] == [3, 3]


@pytest.mark.usefixtures("_settled")
@pytest.mark.parametrize("damage", ["", "{", "[]", '{"state": 1}', "\xff"])
def test_a_damaged_memory_is_made_again(damage: str, picture_folder: PictureFolder) -> None:
    folder = picture_folder("reals", 3)
    first = hashed(folder)
    (path,) = (cache_folder() / "content").iterdir()  # type: ignore[operator]
    path.write_bytes(damage.encode("latin-1"))
    assert hashed(folder) == first
    assert hashed(folder)[1] == 0


def test_names_without_a_suffix_cost_their_first_bytes_only(
    picture_folder: PictureFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = picture_folder("reals", 3)
    for path in sorted(folder.iterdir()):
        path.rename(path.with_suffix(""))
    (folder / "notes").write_text("no image")
    os.mkfifo(folder / "pipe") if hasattr(os, "mkfifo") else None
    monkeypatch.setattr("swincli.data.sources.entries.read_image", lambda *_: pytest.fail("read a whole file"))
    with open_images(str(folder)) as images:
        assert images.count == 3

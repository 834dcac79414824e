"""Zips, folders of pictures and folders of several results take their place as stores do."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from swincli.data.store.staging import check_destination, check_outside, clear_leftovers, staged
from swincli.errors import DataError, UsageError

STORE, PICTURES = '{"format": "swincli-store"}', '{"format": "swincli-pictures"}'


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def make_zip(path: Path, manifest: str | None = PICTURES) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("00000/img00000000.png", b"picture")
        if manifest is not None:
            archive.writestr("manifest.json", manifest)
    return path


def make_pictures(folder: Path) -> Path:
    (folder / "00000").mkdir(parents=True)
    (folder / "00000" / "img00000000.png").touch()
    (folder / "dataset.json").touch()
    (folder / "manifest.json").write_text(PICTURES)
    return folder


def make_store(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(STORE)
    for name in ("images-00000.bin", "lengths.npy", "labels.npy"):
        (folder / name).touch()
    return folder


def test_a_file_appears_only_at_the_end(tmp_path: Path) -> None:
    dest = tmp_path / "deep" / "set.zip"
    with staged(dest, force=False, as_file=True) as place:
        place.write_text("new")
        assert not dest.exists()
    assert dest.read_text() == "new"
    assert names(dest.parent) == ["set.zip"]


def test_a_failure_leaves_no_trace_and_the_old_file(tmp_path: Path) -> None:
    dest = make_zip(tmp_path / "set.zip")
    before = dest.read_bytes()

    def fail() -> None:
        with staged(dest, force=True, as_file=True) as place:
            place.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (names(tmp_path), dest.read_bytes()) == (["set.zip"], before)


def test_what_swincli_made_is_replaced_with_force(tmp_path: Path) -> None:
    made = make_zip(tmp_path / "set.zip")
    with pytest.raises(DataError, match="exists"):
        check_destination(made, force=False, as_file=True)
    with staged(made, force=True, as_file=True) as place:
        place.write_text("new")
    assert made.read_text() == "new"
    parts = tmp_path / "parts"
    make_store(parts / "train")
    make_pictures(parts / "test")
    make_zip(parts / "more.zip")
    for folder in (make_pictures(tmp_path / "pictures"), make_store(tmp_path / "store"), parts):
        with pytest.raises(DataError, match="exists"):
            check_destination(folder, force=False)
        with staged(folder, force=True) as place:
            (place / "x").touch()
        assert names(folder) == ["x"]


@pytest.mark.parametrize("manifest", [None, STORE, "{", "[]"])
def test_a_zip_of_somebody_else_is_never_replaced(tmp_path: Path, manifest: str | None) -> None:
    other = make_zip(tmp_path / "photos.zip", manifest)
    with pytest.raises(DataError, match=r"photos\.zip was not made by swincli"):
        check_destination(other, force=True, as_file=True)
    other.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"photos\.zip was not made by swincli"):
        check_destination(other, force=True, as_file=True)


@pytest.mark.parametrize(
    ("make", "extra", "named"),
    [
        (make_pictures, "00000/holiday.jpg", "00000/holiday.jpg"),
        (make_pictures, "holiday.jpg", "holiday.jpg"),
        (make_pictures, "00001/img.png", "00001/img.png"),
        (lambda path: make_store(path / "train").parent, "notes.txt", "notes.txt"),
        (lambda path: make_store(path / "train").parent, "train/notes.txt", "train"),
    ],
)
def test_a_folder_with_anything_else_is_never_replaced(
    tmp_path: Path, make: Callable[[Path], Path], extra: str, named: str
) -> None:
    folder = make(tmp_path / "folder")
    (folder / extra).parent.mkdir(exist_ok=True)
    (folder / extra).touch()
    with pytest.raises(DataError, match=f"it holds {named}"):
        check_destination(folder, force=True)


def test_a_folder_is_no_zip_and_a_zip_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        check_destination(make_store(tmp_path / "store"), force=True, as_file=True)
    with pytest.raises(DataError, match="is a file"):
        check_destination(make_zip(tmp_path / "set.zip"), force=True)


def test_the_source_is_no_destination(tmp_path: Path) -> None:
    made = make_zip(tmp_path / "set.zip")
    with pytest.raises(UsageError, match="is the source itself"):
        check_outside(tmp_path / "." / "set.zip", str(made))
    check_outside(tmp_path / "other.zip", str(made))


def test_what_a_kill_has_left_of_a_file(tmp_path: Path) -> None:
    with staged(tmp_path / "set.zip", force=False, as_file=True) as place:
        start = place.parent.name.removeprefix(".set.zip.partial-")
        place.touch()
    partial, replaced = (tmp_path / f".set.zip.{kind}-{start}" for kind in ("partial", "replaced"))
    partial.mkdir()
    (partial / "set.zip").touch()
    (tmp_path / "set.zip").rename(replaced)
    clear_leftovers(tmp_path / "set.zip")
    assert names(tmp_path) == ["set.zip"]

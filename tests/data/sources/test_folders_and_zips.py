from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from swincli.data.images.rejected import ImageError
from swincli.data.preparing.labels import read_labels
from swincli.data.sources import entries, open_source
from swincli.errors import DataError, ResourceError

GIF = b"GIF89a" + b"\0" * 40  # enough to be read, not to be decoded


def names(path: Path) -> list[str]:
    with open_source(str(path)) as source:
        return [entry.name for entry in source]


def put(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(GIF)
    return root


def pack(path: Path, *files: str, data: bytes = GIF) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(file, data)
    return path


def reason_of(path: Path, number: int = 0) -> str:
    with open_source(str(path)) as source, pytest.raises(ImageError) as caught:
        source.entries[number].read()
    return caught.value.reason


def test_a_folder_is_read_with_its_subfolders_in_the_order_of_paths(tmp_path: Path) -> None:
    root = put(tmp_path, "b.png", "a/z.png", "a/b/c.txt", "B.png", "a.png")
    assert names(root) == ["B.png", "a.png", "a/b/c.txt", "a/z.png", "b.png"]


def test_a_zip_is_read_in_the_same_order(tmp_path: Path) -> None:
    packed = pack(tmp_path / "x.zip", "b.png", "a/z.png", "./a/b/c.txt", "B.png", "/a.png", "a/")
    assert names(packed) == ["B.png", "a.png", "a/b/c.txt", "a/z.png", "b.png"]


LITTER = {
    "__MACOSX/cat/._a.png": "1 __MACOSX", "__MACOSX/._b.png": "1 __MACOSX",
    "cat/._a.png": "2 ._*", "dog/._b.png": "2 ._*",
    "cat/.DS_Store": "1 .DS_Store", "Thumbs.db": "1 Thumbs.db", "dog/desktop.ini": "1 desktop.ini",
    "cat/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg": "2 @eaDir", "@eaDir/b.png": "2 @eaDir",
    "#recycle/old.png": "1 #recycle", "#snapshot/GMT-2024/a.png": "1 #snapshot", "lost+found/x.png": "1 lost+found",
    ".Trashes/501/a.png": "1 .Trashes", "$RECYCLE.BIN/S-1-5/a.png": "1 $RECYCLE.BIN",
    "System Volume Information/a.png": "1 System Volume Information", "@Recycle/a.png": "1 @Recycle",
    ".git/a.png": "1 .git", "Icon\r": "1 Icon\\x0d",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_hidden_and_system_files_are_passed_over_and_counted(kind: str, tmp_path: Path, write_tar: Any) -> None:
    files = ["cat/a.png", "dog/b.png", *LITTER]
    if kind == "folder":
        path = put(tmp_path / "f", *files)
    elif kind == "zip":
        path = pack(tmp_path / "f.zip", *files)
    else:
        path = write_tar(tmp_path / "f.tar", dict.fromkeys(files, GIF))
    with open_source(str(path)) as source:
        assert [entry.name for entry in source] == ["cat/a.png", "dog/b.png"]
        [note] = source.notes
        assert set(read_labels("folders", source).values()) == {"cat", "dog"}
    assert note.startswith(f"{path}: passed over 17 hidden or system items (2 ")
    assert note.endswith(", ...)")


@pytest.mark.parametrize("name", LITTER)
def test_what_is_passed_over_is_named(name: str, tmp_path: Path) -> None:
    with open_source(str(pack(tmp_path / "f.zip", "a.png", name))) as source:
        called = LITTER[name].split(" ", 1)[1]
        assert source.notes == (f"{tmp_path / 'f.zip'}: passed over 1 hidden or system item (1 {called})",)


def test_nothing_passed_over_is_nothing_to_say(tmp_path: Path) -> None:
    with open_source(str(put(tmp_path, "a.png", "eaDir/b.png", "recycle/c.png", "snapshot/d.png"))) as source:
        assert (len(source), source.notes, source.warnings) == (4, (), ())


def test_entries_hand_out_their_bytes(tmp_path: Path) -> None:
    for path in (put(tmp_path / "f", "a.gif"), pack(tmp_path / "f.zip", "a.gif")):
        with open_source(str(path)) as source:
            assert [entry.read() for entry in source] == [GIF]
            assert len(source) == 1


def test_an_entry_is_located_for_people(tmp_path: Path) -> None:
    folder, packed = put(tmp_path / "f", "s/a.gif"), pack(tmp_path / "f.zip", "s/a.gif")
    assert open_source(f"{folder}/").locate("s/a.gif") == f"{folder}/s/a.gif"
    with open_source(str(packed)) as source:
        assert source.locate("s/a.gif") == f"{packed}:s/a.gif"


def test_loops_of_links_end_and_linked_folders_are_read_once(tmp_path: Path) -> None:
    root = put(tmp_path / "root", "real/a.png")
    elsewhere = put(tmp_path / "elsewhere", "b.png")
    (root / "real" / "up").symlink_to(root)
    (root / "again").symlink_to(root / "real")
    (root / "one").symlink_to(elsewhere)
    (root / "two").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    assert names(root) == ["one/b.png", "real/a.png"]


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert "No such file" in reason_of(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "hidden"
    pipe.mkdir()
    os.mkfifo(pipe / "p")
    root = tmp_path / "root"
    root.mkdir()
    (root / "p.png").symlink_to(pipe / "p")
    assert not (root / "p.png").is_file()
    assert reason_of(root) == "not a file"


def test_files_are_not_read_further_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x20ftypisom" + b"\0" * 100)
    (tmp_path / "large.gif").write_bytes(GIF)
    monkeypatch.setattr(entries, "LARGEST_FILE", len(GIF) - 1)
    assert reason_of(tmp_path, 0).startswith("not an image")
    assert reason_of(tmp_path, 1) == "too large: a file of 46 B"
    assert reason_of(pack(tmp_path / "x.zip", "a.gif")) == "too large: a file of 46 B"


def test_a_name_that_is_no_text_is_spelled_out(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.gif"
    Path(os.fsdecode(odd)).write_bytes(GIF)
    with open_source(str(tmp_path)) as source:
        assert source.entries[0].name == "caf\\udce9.gif"
        assert source.entries[0].read() == GIF


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "litter", "empty.zip", "damaged.zip", "other.zip", "text", "picture"]
)
def test_a_source_of_no_use_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if kind in ("empty", "litter"):
        path.mkdir()
    if kind == "litter":
        (path / ".DS_Store").touch()
    elif kind == "empty.zip":
        pack(path)
    elif kind == "damaged.zip":
        path.write_bytes(b"PK\x03\x04 and nothing more")
    elif kind in ("other.zip", "text"):
        path.write_bytes(b"something else")
    elif kind == "picture":
        path.write_bytes(GIF)
    with pytest.raises(DataError) as caught:
        open_source(str(path))
    wanted = {
        "missing": "does not exist",
        "damaged.zip": "a damaged zip",
        "other.zip": "a damaged zip",
        "text": "is not a source of pictures",
        "picture": "is a single picture",
    }
    assert str(path) in caught.value.message
    assert wanted.get(kind, "holds no files") in caught.value.message
    assert caught.value.hint


def test_a_store_is_no_source(tmp_path: Path) -> None:
    put(tmp_path, "manifest.json", "images-00000.npy")
    with pytest.raises(DataError, match="is already a store"):
        open_source(str(tmp_path))


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders named "locked" cannot be read; the tests may run as root, who can read all."""
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


@pytest.mark.usefixtures("lock")
def test_a_folder_that_may_not_be_read_is_skipped_with_a_warning(tmp_path: Path) -> None:
    root = put(tmp_path, "a.png", "sub/locked/b.png", "z.png")
    with open_source(str(root)) as source:
        assert [entry.name for entry in source] == ["a.png", "sub/locked", "z.png"]
        assert source.warnings == (f"{root}/sub/locked: cannot be read: Permission denied; the folder is skipped",)
    assert reason_of(root, 1) == "cannot be read: Permission denied"


@pytest.mark.usefixtures("lock")
def test_a_source_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "locked/b.png")
    with pytest.raises(ResourceError, match=r"reading .*locked: permission denied"):
        open_source(str(tmp_path / "locked"))


def test_damaged_members_of_a_zip_are_rejected_one_by_one(tmp_path: Path) -> None:
    packed = pack(tmp_path / "x.zip", "a.gif", "b.gif", data=GIF + os.urandom(300))
    data = bytearray(packed.read_bytes())
    data[100] ^= 0xFF
    packed.write_bytes(data)
    assert reason_of(packed).startswith("damaged")
    with open_source(str(packed)) as source:
        assert source.entries[1].read().startswith(GIF)


def test_encrypted_and_oddly_packed_members_are_rejected(tmp_path: Path) -> None:
    packed = pack(tmp_path / "x.zip", "a.gif")
    good = packed.read_bytes()
    central = good.index(b"PK\x01\x02")
    encrypted, odd = bytearray(good), bytearray(good)
    encrypted[6] = encrypted[central + 8] = 1
    struct.pack_into("<H", odd, 8, 77)
    struct.pack_into("<H", odd, central + 10, 77)
    packed.write_bytes(encrypted)
    assert reason_of(packed) == "encrypted"
    packed.write_bytes(odd)
    assert reason_of(packed).startswith("cannot be unpacked")

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.store.staging import check_destination, check_outside, check_space, clear_leftovers, staged
from swincli.errors import DataError, ResourceError, UsageError


def make_store(folder: Path, *extra: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"format": "swincli-store"}')
    for name in ("images-00000.npy", "labels.npy", *extra):
        (folder / name).write_text("old")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def test_nothing_bears_the_name_before_the_end(tmp_path: Path) -> None:
    dest = tmp_path / "deep" / "store"
    with staged(dest, force=False) as folder:
        assert folder.parent == dest.parent
        assert folder.name == f".store.partial-{machine()}-{os.getpid()}"
        (folder / "x").write_text("new")
        assert not dest.exists()
    assert names(dest) == ["x"]
    assert names(dest.parent) == ["store"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_no_trace_and_the_old_store(tmp_path: Path, error: type[BaseException]) -> None:
    old = make_store(tmp_path / "store")
    before = names(old)

    def fail() -> None:
        with staged(old, force=True) as folder:
            (folder / "x").touch()
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == ["store"]
    assert names(old) == before


def test_a_store_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    old = make_store(tmp_path / "store", "images-00001.npy")
    with staged(old, force=True) as folder:
        (folder / "x").touch()
        assert "images-00001.npy" in names(old)
    assert names(old) == ["x"]
    assert names(tmp_path) == ["store"]


def test_what_lies_in_the_way(tmp_path: Path) -> None:
    store, empty = make_store(tmp_path / "store"), tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "file").touch()
    for path in (store, empty):
        with pytest.raises(DataError, match="exists") as caught:
            check_destination(path, force=False)
        assert "--force" in str(caught.value.hint)
        check_destination(path, force=True)
    for force in (True, False):
        with pytest.raises(DataError, match="is a file"):
            check_destination(tmp_path / "file", force=force)
        check_destination(tmp_path / "new" / "store", force=force)


def test_a_folder_with_anything_else_is_never_replaced(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "holiday.jpg").touch()
    mixed = make_store(tmp_path / "mixed", "holiday.jpg")
    nested = make_store(tmp_path / "nested")
    (nested / "album").mkdir()
    web = tmp_path / "web"
    web.mkdir()
    (web / "manifest.json").write_text('{"name": "an app"}')
    strangers = [(pictures, "holiday.jpg"), (mixed, "holiday.jpg"), (nested, "album"), (web, "manifest.json")]
    for path, stranger in strangers:
        for force in (True, False):
            with pytest.raises(DataError, match=f"it holds {stranger}") as caught:
                check_destination(path, force=force)
            assert "--force" not in str(caught.value.hint)


def test_what_came_up_meanwhile_is_left_alone(tmp_path: Path) -> None:
    dest = tmp_path / "store"
    with pytest.raises(DataError, match="exists"), staged(dest, force=False):
        make_store(dest)
    assert "manifest.json" in names(dest)
    with pytest.raises(DataError, match=r"holds new\.jpg"), staged(dest, force=True):
        (dest / "new.jpg").touch()
    assert "new.jpg" in names(dest)
    assert names(tmp_path) == ["store"]


def test_the_old_store_returns_where_the_new_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_store(tmp_path / "store")
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if ".partial-" in self.name:
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError), staged(old, force=True):
        pass
    assert "images-00000.npy" in names(old)
    assert names(tmp_path) == ["store"]


def test_a_link_keeps_pointing_at_the_store(tmp_path: Path) -> None:
    store = make_store(tmp_path / "disk" / "store")
    link = tmp_path / "link"
    link.symlink_to(store)
    with staged(link, force=True) as folder:
        (folder / "x").touch()
    assert link.is_symlink()
    assert names(store) == ["x"]


def test_remains_of_killed_processes_are_cleared_and_others_work_left_alone(tmp_path: Path) -> None:
    for number in (dead(), os.getpid()):
        make_store(tmp_path / f".store.partial-{machine()}-{number}")
    others = [
        f".store.partial-{machine()}-{os.getppid()}",  # lives
        f".store.partial-elsewhere-{dead()}",  # of another machine on a shared disk: nobody here knows
        f".store.partial-{machine()}-",
        f".store2.partial-{machine()}-{dead()}",
    ]
    for name in others:
        make_store(tmp_path / name)
    with staged(tmp_path / "store", force=False) as folder:
        assert names(folder) == []
        assert names(tmp_path) == sorted([*others, folder.name])
    assert names(tmp_path) == sorted([*others, "store"])


def test_a_store_whose_replacement_was_killed_halfway_gets_its_name_back(tmp_path: Path) -> None:
    make_store(tmp_path / f".store.replaced-{machine()}-{dead()}", "images-00001.npy")
    make_store(tmp_path / f".store.partial-{machine()}-{dead()}")
    with pytest.raises(DataError, match="exists"), staged(tmp_path / "store", force=False):
        pass
    assert "images-00001.npy" in names(tmp_path / "store")
    assert names(tmp_path) == ["store"]


def test_what_a_finished_replacement_left_is_removed(tmp_path: Path) -> None:
    make_store(tmp_path / f".store.replaced-{machine()}-{dead()}")
    new = make_store(tmp_path / "store", "images-00001.npy")
    clear_leftovers(new)
    assert names(tmp_path) == ["store"]
    assert "images-00001.npy" in names(new)


def test_a_killed_prepare_data_leaves_nothing_after_the_next(tmp_path: Path, pictures: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from swincli.console import Console;"
        "from swincli.data.preparing.prepare import PrepareOptions, prepare;"
        "from swincli.data.store import store_writer;"
        "store_writer.write_synced = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "prepare(sys.argv[1], Path(sys.argv[2]), PrepareOptions(16, workers=1), Console(quiet=True))"
    )
    command = [str(pictures), str(tmp_path / "store")]
    killed = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [name.rpartition("-")[0] for name in names(tmp_path) if name.startswith(".")] == [
        f".store.partial-{machine()}"
    ]
    prepare(str(pictures), tmp_path / "store", PrepareOptions(16, workers=1), Console(quiet=True))
    assert names(tmp_path) == ["pictures", "store"]


def machine() -> str:
    """This machine's name in hidden names."""
    return "".join(letter for letter in platform.node() if letter.isalnum())


@cache
def dead() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_a_store_inside_its_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pictures" / "sub").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "pictures")
    source = str(tmp_path / "pictures")
    for dest in ("pictures", "pictures/store", "pictures/sub/../.store", "link/store"):
        with pytest.raises(UsageError, match="is inside the source"):
            check_outside(tmp_path / dest, source)
    check_outside(tmp_path / "pictures-256", source)
    check_outside(tmp_path / "builtin:emoji" / "x", "builtin:emoji")


def test_space_is_checked_where_the_store_will_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=10 * 2**20)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    dest = tmp_path / "not" / "yet" / "store"
    check_space(dest, 10 * 2**20, "160 images")
    with pytest.raises(ResourceError, match=r"160 images need 10.0 MiB, the disk has 10.0 MiB free"):
        check_space(dest, 10 * 2**20 + 1, "160 images")
    assert asked == [tmp_path, tmp_path]

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swincli.data.sources import open_source
from swincli.errors import DataError

GIF = b"GIF89a"
Sizes = dict[bytes, bytes]


def of_sizes(*sides: int, count: int = 3) -> Sizes:
    keyed = {f"{side}-{n:05d}".encode(): GIF + f"{side}/{n}".encode() * side for side in sides for n in range(count)}
    return keyed | {b"length": str(count).encode()}


def test_lsun(tmp_path: Path, write_lmdb: Any, read: Any) -> None:
    values = {os.urandom(20).hex().encode(): GIF + os.urandom(n * 37) for n in range(400)}
    found = read(write_lmdb(tmp_path / "church_lmdb", values))
    assert found == {key.decode(): value for key, value in sorted(values.items())}
    assert list(found) == sorted(found)


def test_a_database_of_one_file(tmp_path: Path, write_lmdb: Any, read: Any) -> None:
    path = write_lmdb(tmp_path / "x.mdb", {b"a": GIF, b"b": GIF * 2000}, subdir=False)
    assert read(path) == {"a": GIF, "b": GIF * 2000}


def test_what_was_deleted_and_replaced_is_gone(tmp_path: Path, write_lmdb: Any, read: Any) -> None:
    folder = write_lmdb(tmp_path / "l", {f"{n:04d}".encode(): GIF + bytes(n * 5) for n in range(800)})
    with lmdb.open(str(folder), map_size=2**28) as base:
        for start in range(0, 800, 120):
            with base.begin(write=True) as transaction:
                for n in range(start, min(start + 120, 800), 3):
                    transaction.delete(f"{n:04d}".encode())
        with base.begin(write=True) as transaction:
            transaction.put(b"0001", GIF + b"new")
    wanted = {f"{n:04d}": GIF + bytes(n * 5) for n in range(800) if n % 3}
    assert read(folder) == wanted | {"0001": GIF + b"new"}


def test_of_several_sizes_the_one_asked_for_or_the_largest_is_taken(tmp_path: Path, write_lmdb: Any, read: Any) -> None:
    folder = write_lmdb(tmp_path / "l", of_sizes(128, 256, 1024))
    assert list(read(folder)) == ["1024-00000", "1024-00001", "1024-00002"]
    assert list(read(folder, 256)) == ["256-00000", "256-00001", "256-00002"]
    assert list(read(folder, 512)) == ["1024-00000", "1024-00001", "1024-00002"]
    with open_source(str(folder), 256) as source:
        assert source.notes == (f"{folder} holds its pictures at 128, 256, 1024 px; using those at 256 px",)


def test_an_unfinished_database_is_noticed(tmp_path: Path, write_lmdb: Any) -> None:
    folder = write_lmdb(tmp_path / "l", of_sizes(64) | {b"length": b"9"})
    with open_source(str(folder)) as source:
        assert source.notes[1] == f"{folder} should have 9 pictures, but has 3 at 64 px: it may be incomplete"


def test_nothing_beside_the_database_is_written(tmp_path: Path, write_lmdb: Any, read: Any) -> None:
    folder = write_lmdb(tmp_path / "l", {b"a": GIF})
    (folder / "lock.mdb").unlink()
    before = (folder / "data.mdb").read_bytes()
    read(folder)
    assert [item.name for item in folder.iterdir()] == ["data.mdb"]
    assert (folder / "data.mdb").read_bytes() == before


@pytest.mark.parametrize("values", [{}, {b"length": b"0"}])
def test_an_empty_database(values: Sizes, tmp_path: Path, write_lmdb: Any) -> None:
    folder = write_lmdb(tmp_path / "l", values)
    with pytest.raises(DataError, match=r"holds no files|no key like 256-00012"):
        open_source(str(folder))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.7, 0.99])
def test_a_database_that_was_cut_short_is_named(share: float, tmp_path: Path, write_lmdb: Any) -> None:
    folder = write_lmdb(tmp_path / "l", {f"{n:04d}".encode(): GIF + os.urandom(3000) for n in range(300)})
    data = (folder / "data.mdb").read_bytes()
    (folder / "data.mdb").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=rf"{folder} is a damaged LMDB or of an unsupported kind: ") as caught:
        open_source(str(folder))
    assert caught.value.hint


def test_other_versions_and_kinds_are_refused(tmp_path: Path, write_lmdb: Any) -> None:
    folder = write_lmdb(tmp_path / "l", {b"a": GIF})
    data = bytearray((folder / "data.mdb").read_bytes())
    struct.pack_into("<I", data, 20, 2)
    (folder / "data.mdb").write_bytes(data)
    with pytest.raises(DataError, match="its version is 2; version 1 is supported"):
        open_source(str(folder))

    with lmdb.open(str(tmp_path / "named"), max_dbs=2) as base:
        inner = base.open_db(b"inner")
        with base.begin(write=True, db=inner) as transaction:
            transaction.put(b"a", GIF)
    with pytest.raises(DataError, match="databases inside the database"):
        open_source(str(tmp_path / "named"))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=30))
def test_a_damaged_database_is_an_error_or_damaged_pictures(
    changes: list[tuple[int, int]], tmp_path: Path, write_lmdb: Any, read: Any
) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "damaged"
    if not whole.exists():
        write_lmdb(whole, {f"{n:03d}".encode(): GIF + bytes(n * 40) for n in range(100)})
        folder.mkdir()
    data = bytearray((whole / "data.mdb").read_bytes())
    for position, value in changes:
        page, place = divmod(position, 200)  # heads of pages, where it hurts most
        data[page * 4096 % len(data) + place] = value
    (folder / "data.mdb").write_bytes(data)
    with suppress(DataError):
        read(folder)

from __future__ import annotations

import io
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swincli.data.sources import open_source
from swincli.errors import DataError

GIF = b"GIF89a" + bytes(range(40))
FILES = {f"{folder}/{number}.gif": GIF * number for folder in ("a", "ü") for number in range(1, 5)}
HEADS = [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\x00", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", bytes(16)]
SUFFIXES = ["", ".zip", ".tar", ".tar.gz", ".npy", ".npz", ".txt", ".mdb"]

fuzzed = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzzed
@given(head=st.sampled_from(HEADS), tail=st.binary(max_size=700), suffix=st.sampled_from(SUFFIXES))
def test_random_bytes_raise_nothing_but_data_errors(
    head: bytes, tail: bytes, suffix: str, tmp_path: Path, read: Any
) -> None:
    path = tmp_path / f"source{suffix}"
    path.write_bytes(head + tail)
    with suppress(DataError):
        read(path)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Whole archives of `FILES` by kind."""
    root = tmp_path_factory.mktemp("archives")
    for kind, compression in (("zip", zipfile.ZIP_DEFLATED), ("stored.zip", zipfile.ZIP_STORED)):
        with zipfile.ZipFile(root / kind, "w", compression) as archive:
            for name, data in FILES.items():
                archive.writestr(name, data)
    for kind, mode in (("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz")):
        with tarfile.open(root / kind, mode) as archive:  # type: ignore[call-overload]
            for name, data in FILES.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return {path.name: path.read_bytes() for path in root.iterdir()}


@pytest.mark.parametrize("kind", ["zip", "stored.zip", "tar", "tar.gz", "tar.xz"])
@fuzzed
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 7)), max_size=12),
    kept=st.integers(1, 1000),  # thousandths; floats would depend on whether denormals are flushed here
)
def test_damaged_archives_raise_nothing_but_data_errors(
    kind: str, changes: list[tuple[int, int]], kept: int, tmp_path: Path, read: Any, archives: dict[str, bytes]
) -> None:
    path = tmp_path / f"x.{kind}"
    data = bytearray(archives[kind])
    for position, bit in changes:
        data[position % len(data)] ^= 1 << bit
    path.write_bytes(data[: max(1, len(data) * kept // 1000)])
    with suppress(DataError):
        read(path)


def test_names_in_a_zip_that_lead_out_of_it_lead_nowhere(tmp_path: Path, read: Any) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    with zipfile.ZipFile(inside / "x.zip", "w") as archive:
        for name in ("../evil.gif", f"{tmp_path}/evil.gif", "..\\..\\evil.gif", "C:\\evil.gif", "a\x1b[31m.gif"):
            archive.writestr(name, GIF)
    found = read(inside / "x.zip")
    spelled = {"../evil.gif", f"{tmp_path}/evil.gif".lstrip("/"), "../../evil.gif", "C:/evil.gif", "a\\x1b[31m.gif"}
    assert set(found) == spelled
    assert set(found.values()) == {GIF}
    assert {item.name for item in tmp_path.rglob("*")} == {"in", "x.zip"}


def test_names_in_a_zip_of_old_code_pages(tmp_path: Path, read: Any) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("caf_.gif", GIF)
    data = (tmp_path / "x.zip").read_bytes().replace(b"caf_.gif", b"caf\x82.gif")
    (tmp_path / "x.zip").write_bytes(data)
    assert read(tmp_path / "x.zip") == {"café.gif": GIF}


def test_a_member_that_unpacks_to_more_than_it_says_is_refused(tmp_path: Path, read: Any) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.gif", GIF + bytes(10**6))
    data = bytearray((tmp_path / "x.zip").read_bytes())
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(mark) + at
        data[start : start + 4] = (100).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(data)
    assert read(tmp_path / "x.zip") == {"bomb.gif": "damaged: the zip's copy of it cannot be unpacked"}


def test_links_that_lead_to_themselves_are_named(tmp_path: Path, read: Any) -> None:
    (tmp_path / "a.gif").write_bytes(GIF)
    (tmp_path / "loop.gif").symlink_to("loop.gif")
    (tmp_path / "ping").symlink_to("pong")
    (tmp_path / "pong").symlink_to("ping")
    found = read(tmp_path)
    assert found.pop("a.gif") == GIF
    assert set(found) == {"loop.gif", "ping", "pong"}
    assert set(found.values()) == {"cannot be read: Too many levels of symbolic links"}


def test_what_lies_beside_pictures_made_for_training_is_no_picture(tmp_path: Path, read: Any) -> None:
    for name in ("dataset.json", "manifest.json", "00000/img.gif", "00000/dataset.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(GIF if name.endswith("gif") else b'{"labels": [["00000/img.gif", 1]]}')
    assert list(read(tmp_path)) == ["00000/dataset.json", "00000/img.gif"]
    with open_source(str(tmp_path)) as source:
        assert source.label_file == "dataset.json"

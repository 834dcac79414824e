from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manifest_facts import FACTS
from numpy.typing import NDArray

from swincli.console import Console
from swincli.data.store import store_writer
from swincli.data.store.manifest import read_manifest
from swincli.data.store.npy_header import npy_header
from swincli.data.store.reader import Store, is_store
from swincli.data.store.store_writer import StoreWriter
from swincli.data.store.verify import verify_store
from swincli.errors import DataError, ResourceError
from swincli.system.file_hash import file_sha256

SIDE = 4
EACH = SIDE * SIDE * 3


def pixels(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def build(folder: Path, count: int = 10, per_shard: int = 100, labels: list[int] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    names = None if labels is None else [f"label {n}" for n in range(max(labels) + 1)]
    with StoreWriter(folder, SIDE, shard_bytes=per_shard * EACH + 128) as writer:
        for image in pixels(count):
            writer.add(image)
        writer.finish(None if labels is None else np.array(labels, np.int64), {**FACTS, "label_names": names})
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 10 labelled images in 3 shards. Tests change copies of it."""
    return build(tmp_path_factory.mktemp("whole"), per_shard=4, labels=[0, 1] * 5)


@pytest.mark.parametrize("per_shard", [1, 3, 5, 10, 100])
def test_what_is_written_is_read(tmp_path: Path, per_shard: int) -> None:
    store = Store.open(build(tmp_path, 10, per_shard))
    assert (len(store), store.resolution, store.path, store.labels) == (10, SIDE, tmp_path, None)
    assert len(store.manifest.shards) == -(-10 // per_shard)
    for order in ([0], [9, 0, 4, 4, 5, 2], list(range(10)), [], [7, 7, 7]):
        fetched = store.fetch(np.array(order, np.int64))
        assert fetched.dtype == np.uint8
        assert np.array_equal(fetched, pixels(10)[order].reshape(-1, SIDE, SIDE, 3))


@pytest.mark.parametrize("per_shard", [4, 100])
def test_a_batch_is_the_callers_own(tmp_path: Path, per_shard: int) -> None:
    store = Store.open(build(tmp_path, per_shard=per_shard))
    store.fetch(np.arange(3))[:] = 0
    assert np.array_equal(store.fetch(np.arange(3)), pixels(10)[:3])


def test_shards_are_plain_npy_files(tmp_path: Path) -> None:
    build(tmp_path, 10, 4, labels=[0, 1] * 5)
    shards = [np.load(tmp_path / f"images-0000{number}.npy") for number in range(3)]
    assert np.array_equal(np.concatenate(shards), pixels(10))
    assert np.load(tmp_path / "labels.npy").tolist() == [0, 1] * 5
    for shard in read_manifest(tmp_path).shards:
        assert shard.sha256 == hashlib.sha256((tmp_path / shard.file).read_bytes()).hexdigest()


@pytest.mark.parametrize("expected", [None, 10, 0, 3, 9, 11, 1000])
@pytest.mark.parametrize("per_shard", [4, 5, 100])
def test_what_was_expected_changes_nothing_but_the_work(
    tmp_path: Path, per_shard: int, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = read_manifest(build(tmp_path / "plain", 10, per_shard))
    read_again = Mock(side_effect=file_sha256)
    monkeypatch.setattr(store_writer, "file_sha256", read_again)
    folder = tmp_path / "expected"
    folder.mkdir()
    with StoreWriter(folder, SIDE, shard_bytes=per_shard * EACH + 128, expected=expected) as writer:
        for image in pixels(10):
            writer.add(image)
        assert writer.finish(None, {**FACTS, "label_names": None}) == plain
    assert verify_store(folder, Console(quiet=True)) == plain
    if expected == 10:
        assert read_again.call_count == 0


def test_a_shard_stays_below_its_size(tmp_path: Path) -> None:
    assert store_writer.SHARD_BYTES == 2**31
    build(tmp_path, 10, 3)
    sizes = [file.stat().st_size for file in sorted(tmp_path.glob("images-*.npy"))]
    assert sizes == [3 * EACH + 128] * 3 + [EACH + 128]


@settings(max_examples=40)
@given(shape=st.lists(st.integers(0, 2**31), min_size=1, max_size=4).map(tuple))
def test_headers_are_as_numpy_reads_them(shape: tuple[int, ...]) -> None:
    header = npy_header("<i8", shape)
    assert len(header) == 128
    stream = BytesIO(header)
    assert np.lib.format.read_magic(stream) == (1, 0)
    assert np.lib.format.read_array_header_1_0(stream) == (shape, False, np.dtype("int64"))
    assert stream.tell() == 128


def test_headers_are_as_numpy_writes_them(tmp_path: Path) -> None:
    for array in (pixels(7), np.arange(5)):
        np.save(tmp_path / "x.npy", array)
        assert (tmp_path / "x.npy").read_bytes()[:128] == npy_header(array.dtype.str, array.shape)


def test_the_content_hash_sees_pixels_and_labels_but_no_shards(tmp_path: Path) -> None:
    plain = Store.open(build(tmp_path / "a", per_shard=100)).content_hash
    assert Store.open(build(tmp_path / "b", per_shard=3)).content_hash == plain
    others = [
        build(tmp_path / "c", count=9),
        build(tmp_path / "d", labels=[0] * 10),
        build(tmp_path / "e", labels=[0] * 9 + [1]),
    ]
    assert len({plain, *(Store.open(path).content_hash for path in others)}) == 4


def test_labels_come_along(tmp_path: Path) -> None:
    labels = Store.open(build(tmp_path, labels=[0, 1, 2, 1, 0] * 2)).labels
    assert labels is not None
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 2, 1, 0] * 2


@pytest.mark.parametrize("indices", [[10], [-1], [0, 1, 99], [[0]], 0, [0.5], ["a"]])
@pytest.mark.parametrize("per_shard", [4, 100])
def test_indices_outside_the_store_are_refused(tmp_path: Path, indices: Any, per_shard: int) -> None:
    store = Store.open(build(tmp_path, per_shard=per_shard))
    with pytest.raises(IndexError, match=r"index out of range: .* has images 0 to 9|list of integers"):
        store.fetch(np.asarray(indices))


def test_opening_reads_no_pixels(tmp_path: Path) -> None:
    build(tmp_path)
    shard = tmp_path / "images-00000.npy"
    data = bytearray(shard.read_bytes())
    data[200] ^= 1
    shard.write_bytes(data)
    assert len(Store.open(tmp_path)) == 10
    with pytest.raises(DataError):
        verify_store(tmp_path, Console(quiet=True))


def test_is_store(tmp_path: Path) -> None:
    assert not is_store(tmp_path / "missing")
    assert not is_store(tmp_path)
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    assert not is_store(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe[")
    assert not is_store(tmp_path)
    assert is_store(build(tmp_path))
    assert is_store(str(tmp_path))


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        raw = json.loads((folder / "manifest.json").read_text())
        change(raw)
        (folder / "manifest.json").write_text(json.dumps(raw))

    return apply


def cut(name: str, length: int) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:length])

    return apply


def resave(name: str, array: NDArray[Any]) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, array)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "is not a store"),
    "no shard": (lambda folder: (folder / "images-00001.npy").unlink(), r"images-00001.npy is missing"),
    "no labels": (lambda folder: (folder / "labels.npy").unlink(), r"labels.npy is missing"),
    "manifest cut": (cut("manifest.json", 100), r"manifest.json is damaged"),
    "manifest a list": (lambda folder: (folder / "manifest.json").write_text("[]"), r"manifest.json is damaged"),
    "other manifest": (edit(lambda raw: raw.pop("format")), "was written by another program"),
    "newer": (edit(lambda raw: raw.update(format_version=2)), "version 2; this swincli reads version 1"),
    "wrong type": (edit(lambda raw: raw.update(resolution="big")), r"manifest.json is damaged: resolution: "),
    "extra key": (edit(lambda raw: raw.update(more=1)), r"manifest.json is damaged: more: "),
    "wrong sum": (edit(lambda raw: raw.update(images=11)), "do not add up"),
    "shards reordered": (edit(lambda raw: raw["shards"].reverse()), "not numbered"),
    "a path": (edit(lambda raw: raw["shards"][0].update(file="../x.npy")), "not numbered"),
    "half labelled": (edit(lambda raw: raw.update(label_names=None)), "must both be set or both be null"),
    "shard cut": (cut("images-00001.npy", 150), r"images-00001.npy is damaged"),
    "header cut": (cut("images-00001.npy", 50), r"images-00001.npy is damaged"),
    "shard empty": (cut("images-00001.npy", 0), r"images-00001.npy is damaged"),
    "other shape": (resave("images-00001.npy", pixels(4).reshape(4, 2, 8, 3)), r"not that of uint8 \(4, 4, 4, 3\)"),
    "fewer images": (resave("images-00001.npy", pixels(3)), r"272 bytes instead of 320"),
    "other type": (resave("images-00001.npy", pixels(4).view(np.int8)), r"not that of uint8 \(4, 4, 4, 3\)"),
    "objects": (resave("images-00001.npy", np.array([None])), r"images-00001.npy is damaged"),
    "label without a name": (resave("labels.npy", np.array([9] * 10)), "a label without a name"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_store_does_not_open(tmp_path: Path, whole: Path, kind: str) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    damage, message = DAMAGE[kind]
    damage(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        Store.open(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist") as caught:
        Store.open(tmp_path / "nowhere")
    assert caught.value.hint is not None
    assert "prepare-data" in caught.value.hint


def test_a_whole_store_verifies(whole: Path) -> None:
    assert verify_store(whole, Console(quiet=True)).images == 10


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["images-00000.npy", "images-00001.npy", "images-00002.npy", "labels.npy"]), data=st.data())
def test_any_flipped_bit_is_found(name: str, data: st.DataObject, tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    content = bytearray((whole / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        verify_store(tmp_path, Console(quiet=True))


def test_verification_names_every_damaged_file_and_a_damaged_manifest(tmp_path: Path) -> None:
    build(tmp_path, per_shard=4)
    good = {name: (tmp_path / name).read_bytes() for name in ("images-00000.npy", "images-00002.npy")}
    for name, data in good.items():
        (tmp_path / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DataError, match=r"images-00000.npy, images-00002.npy differ"):
        verify_store(tmp_path, Console(quiet=True))
    for name, data in good.items():
        (tmp_path / name).write_bytes(data)
    edit(lambda raw: raw.update(content_hash="0" * 64))(tmp_path)
    with pytest.raises(DataError, match="content_hash does not match the files"):
        verify_store(tmp_path, Console(quiet=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda shard: shard.unlink(), "images-00001.npy is missing"),
        (
            lambda shard: shard.write_bytes(shard.read_bytes()[:150]),
            "images-00001.npy is damaged: 150 bytes instead of",
        ),
        (lambda shard: shard.write_bytes(b""), "images-00001.npy is damaged: 0 bytes"),
        (
            lambda shard: shard.write_bytes(shard.read_bytes() * 2),
            "images-00001.npy is damaged: 640 bytes instead of 320",
        ),
    ],
)
def test_what_becomes_of_a_shard_after_opening_is_noticed(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    store = Store.open(build(tmp_path, per_shard=4))
    change(tmp_path / "images-00001.npy")
    assert np.array_equal(store.fetch(np.arange(4)), pixels(4))  # of the shard before it
    with pytest.raises(DataError, match=message):
        store.fetch(np.arange(10))


def test_a_shard_that_the_system_does_not_read(tmp_path: Path) -> None:
    store = Store.open(build(tmp_path))
    shard = tmp_path / "images-00000.npy"
    shard.unlink()
    shard.mkdir()
    with pytest.raises(ResourceError, match=r"reading .*images-00000.npy: "):
        store.fetch(np.arange(3))


def test_a_store_that_has_moved_away(tmp_path: Path) -> None:
    store = Store.open(build(tmp_path / "store"))
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is missing"):
        store.fetch(np.arange(3))

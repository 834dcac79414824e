from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manifest_facts import FACTS
from numpy.typing import NDArray

from swincli.console import Console
from swincli.data.store import shards, store_writer
from swincli.data.store.codecs import Encoding, Lossless, decode_into, encode
from swincli.data.store.manifest import Manifest
from swincli.data.store.reader import Store
from swincli.data.store.verify import verify_store
from swincli.data.store.writers import open_writer
from swincli.errors import DataError

SIDE = 16
QUIET = Console(quiet=True)


def pixels(count: int = 10) -> NDArray[np.uint8]:
    smooth = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return smooth.repeat(4, axis=1).repeat(4, axis=2)


def build(folder: Path, encoding: Encoding, labels: list[int] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    names = None if labels is None else [str(number) for number in range(max(labels) + 1)]
    with open_writer(folder, SIDE, "store", encoding) as writer:
        for image in pixels():
            writer.add(image, None if encoding == "raw" else encode(image, encoding))
        writer.finish(None if labels is None else np.array(labels), {**FACTS, "label_names": names})
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[Encoding, Path]:
    """Stores of PNG and WebP files. Tests change copies of them."""
    encodings: list[Encoding] = ["png", "webp"]
    return {encoding: build(tmp_path_factory.mktemp(encoding), encoding) for encoding in encodings}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer.StoreWriter.__init__, "__defaults__", ("raw", 400))


@pytest.mark.parametrize("encoding", ["png", "webp"])
@pytest.mark.usefixtures("small_shards")
def test_it_holds_what_a_raw_store_holds(tmp_path: Path, encoding: Encoding) -> None:
    labels = [0, 1] * 5
    raw, encoded = (Store.open(build(tmp_path / kind, kind, labels)) for kind in ("raw", encoding))
    manifest = encoded.manifest
    assert manifest.content_hash == raw.content_hash
    assert (manifest.encoding, len(encoded), encoded.resolution) == (encoding, 10, SIDE)
    assert len(manifest.shards) > 2
    assert sorted(path.name for path in encoded.path.iterdir()) == sorted(
        ["manifest.json", "labels.npy", "lengths.npy", *(shard.file for shard in manifest.shards)]
    )
    for order in ([0], [9, 0, 4, 4, 5, 2], list(range(10)), []):
        assert np.array_equal(encoded.fetch(np.array(order, np.int64)), raw.fetch(np.array(order, np.int64)))
    assert encoded.labels is not None
    assert encoded.labels.tolist() == labels
    assert verify_store(encoded.path, QUIET) == manifest


@pytest.mark.usefixtures("small_shards")
def test_a_shard_stays_below_its_size(tmp_path: Path) -> None:
    store = Store.open(build(tmp_path, "png"))
    sizes = [(tmp_path / shard.file).stat().st_size for shard in store.manifest.shards]
    assert max(sizes) <= 400
    lengths = np.load(tmp_path / "lengths.npy")
    assert (len(lengths), lengths.sum()) == (10, sum(sizes))


def test_images_of_many_shards_are_decoded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer.StoreWriter.__init__, "__defaults__", ("raw", 1))
    store = Store.open(build(tmp_path, "png"))
    assert len(store.manifest.shards) == 10
    together = threading.Barrier(4)  # broken, with an error, unless four images are decoded at a time

    def decode(data: bytes, encoding: Lossless, out: NDArray[np.uint8]) -> None:
        if arrived.acquire(blocking=False):
            together.wait(timeout=10)
        decode_into(data, encoding, out)

    arrived = threading.Semaphore(8)
    monkeypatch.setattr(shards, "usable_cores", lambda: 4)
    monkeypatch.setattr(shards, "decode_into", decode)
    order = np.array([9, 3, 0, 1, 2, 4, 5, 5, 6, 7, 8])
    assert np.array_equal(store.fetch(order), pixels()[order])
    assert not together.broken


def test_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    for encoding in ("png", "webp"):
        one, two = (build(tmp_path / f"{encoding}{number}", encoding) for number in range(2))
        for file in one.iterdir():
            assert file.read_bytes() == (two / file.name).read_bytes()


def test_images_go_into_what_the_caller_gives(tmp_path: Path) -> None:
    for encoding in ("raw", "png"):
        store = Store.open(build(tmp_path / encoding, encoding))
        out = np.zeros((3, SIDE, SIDE, 3), np.uint8)
        assert store.fetch(np.array([2, 0, 7]), out) is out
        assert np.array_equal(out, pixels()[[2, 0, 7]])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("lengths.npy", lambda data: data[:-1], r"lengths.npy is damaged: \d+ bytes instead of \d+"),
        ("lengths.npy", lambda data: data[:128] + b"\0" * 80, "an image of 0 bytes"),
        ("lengths.npy", lambda data: data[:128] + b"\1" + data[129:], r"images-00000.bin is damaged"),
        ("images-00000.bin", lambda data: data[:-1], r"images-00000.bin is damaged: [\d,]+ bytes instead of [\d,]+"),
        ("images-00000.bin", lambda data: data + b"x", r"images-00000.bin is damaged"),
    ],
)
def test_a_damaged_store_does_not_open(
    tmp_path: Path, built: dict[Encoding, Path], name: str, change: Any, message: str
) -> None:
    path = shutil.copytree(built["png"], tmp_path, dirs_exist_ok=True) / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        Store.open(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("lengths.npy", "images-00000.bin"):
        folder = build(tmp_path / name, "webp")
        (folder / name).unlink()
        with pytest.raises(DataError, match=f"{name} is missing"):
            Store.open(folder)


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    store = Store.open(build(tmp_path, "png"))
    second = int(np.load(tmp_path / "lengths.npy")[0])
    shard = tmp_path / "images-00000.bin"
    data = bytearray(shard.read_bytes())
    data[second : second + 20] = b"\0" * 20
    shard.write_bytes(data)
    assert np.array_equal(store.fetch(np.array([0, 2])), pixels()[[0, 2]])
    with pytest.raises(DataError, match=r"images-00000.bin is damaged: image 1 of it cannot be decoded"):
        store.fetch(np.arange(3))


def test_what_is_cut_off_after_opening_is_noticed(tmp_path: Path) -> None:
    store = Store.open(build(tmp_path, "png"))
    shard = tmp_path / "images-00000.bin"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"images-00000\.bin is damaged"):
        store.fetch(np.array([0]))
    shard.unlink()
    with pytest.raises(DataError, match=r"images-00000\.bin is missing"):
        store.fetch(np.array([0]))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), encoding=st.sampled_from(["png", "webp"]))
def test_any_flipped_bit_is_found(
    data: st.DataObject, encoding: Encoding, built: dict[Encoding, Path], tmp_path: Path
) -> None:
    shutil.copytree(built[encoding], tmp_path, dirs_exist_ok=True)
    name = data.draw(st.sampled_from(["images-00000.bin", "lengths.npy"]))
    content = bytearray((tmp_path / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"images-00000.bin|lengths.npy"):
        verify_store(tmp_path, QUIET)


def test_a_wrong_content_hash_is_found(tmp_path: Path) -> None:
    manifest = build(tmp_path, "webp") / "manifest.json"
    right = Store.open(tmp_path).content_hash
    manifest.write_text(manifest.read_text().replace(right, "0" * 64))
    with pytest.raises(DataError, match="content_hash does not match the files"):
        verify_store(tmp_path, QUIET)


@settings(max_examples=30)
@given(data=st.binary(max_size=200), encoding=st.sampled_from(["png", "webp"]), cut=st.integers(0, 200))
def test_random_bytes_are_a_value_error_at_most(data: bytes, encoding: Lossless, cut: int) -> None:
    image = pixels(1)[0]
    for damaged in (data, encode(image, encoding)[:cut] + data):
        out = np.zeros_like(image)
        try:
            decode_into(damaged, encoding, out)
        except ValueError:
            continue
        assert encoding == "webp" or np.array_equal(out, image)  # WebP has no checksum; a store has one for each shard


def test_an_image_of_another_shape_is_refused() -> None:
    for other in (pixels(1)[0][:, :8], pixels(1)[0][:8, :8]):
        with pytest.raises(ValueError, match="RGB of 8 x"):
            decode_into(encode(np.ascontiguousarray(other), "png"), "png", np.zeros((SIDE, SIDE, 3), np.uint8))


@pytest.mark.parametrize("change", [{"encoding": "raw"}, {"lengths_sha256": None}, {"encoding": "jpeg"}])
def test_encoding_and_lengths_go_together(built: dict[Encoding, Path], change: dict[str, Any]) -> None:
    manifest = Store.open(built["png"]).manifest
    with pytest.raises(ValueError, match=r"lengths_sha256|not numbered|encoding"):
        Manifest.model_validate(manifest.model_dump() | change)

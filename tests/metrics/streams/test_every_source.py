"""One set of pictures in every kind of source, read by several threads: the same images, the same digits."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.metrics.evaluate import evaluate
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.streams import features
from swincli.metrics.streams.images import open_images, stream_subset
from swincli.metrics.streams.threads import map_in_order

COUNT, SIDE = 60, 32
KINDS = (
    "folder",
    "set.zip",
    "set.tar",
    "set.tar.gz",
    "set.npy",
    "set.npz",
    "packed.npz",
    "lmdb",
    "store",
    "png-store",
    "webp-store",
)
OFTEN = ("folder", "set.zip", "set.tar", "set.npz", "lmdb", "store")
"""Kinds that every run of the tests measures; with `-m slow`, the others too."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the same pictures in each of `KINDS`."""
    root = tmp_path_factory.mktemp("sources")
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    (root / "folder").mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(root / f"folder/{index:04d}.png")
    files = {path.name: path.read_bytes() for path in sorted((root / "folder").iterdir())}
    with zipfile.ZipFile(root / "set.zip", "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    for name, mode in (("set.tar", "w:"), ("set.tar.gz", "w:gz")):
        with tarfile.open(root / name, mode) as archive:
            for file, data in files.items():
                info = tarfile.TarInfo(file)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    np.save(root / "set.npy", pixels)
    np.savez(root / "set.npz", pixels)
    np.savez_compressed(root / "packed.npz", pixels)
    with lmdb.open(str(root / "lmdb"), map_size=2**24) as base, base.begin(write=True) as transaction:
        for name, data in files.items():
            transaction.put(name.encode(), data)
    prepare(str(root / "folder"), root / "store", PrepareOptions(SIDE, workers=1), Console(quiet=True))
    for encoding in ("png", "webp"):
        encoded = PrepareOptions(SIDE, workers=1, encoding=encoding)  # type: ignore[arg-type]
        prepare(str(root / "folder"), root / f"{encoding}-store", encoded, Console(quiet=True))
    return root


@pytest.fixture(autouse=True)
def _threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("kind", KINDS)
def test_eight_threads_read_what_one_reads(kind: str, sources: Path) -> None:
    with open_images(str(sources / "folder")) as images:
        expected = [load() for load in images.read(np.arange(COUNT))]
    with open_images(str(sources / kind)) as images:
        for _ in range(3):
            found = list(map_in_order(images.read(np.arange(COUNT)), lambda load: load(), workers=8, ahead=64))
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "kind", [kind if kind in OFTEN else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_a_set_has_the_same_digits_in_every_source_and_by_every_number_of_threads(
    kind: str, sources: Path, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = []
    for source, other, threads in (("folder", "folder", 1), (kind, kind, 1), (kind, kind, 8), (kind, "folder", 8)):
        monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / f"{source}-{other}-{threads}"))
        monkeypatch.setattr(features, "usable_cores", lambda threads=threads: threads)
        with open_images(str(sources / source)) as fakes, open_images(str(sources / other)) as reals:
            stream = stream_subset(fakes, COUNT, 0)
            found.append(evaluate(stream, reals, ["fid", "kid", "pr", "spectrum"], tiny, console=quiet).values)
    assert found[1:] == [found[0]] * 3
    assert found[0]["fid"] == pytest.approx(0, abs=1e-9)


def test_a_zipped_array_is_read_in_one_pass(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step back in a zip's member unpacks it from its start again."""
    unpacked = []
    read = zipfile.ZipExtFile._read2
    monkeypatch.setattr(
        zipfile.ZipExtFile, "_read2", lambda self, n: [unpacked.append(len(data := read(self, n))), data][1]
    )
    with open_images(str(sources / "packed.npz")) as images:
        unpacked.clear()
        list(map_in_order(images.read(np.arange(COUNT)), lambda load: load(), workers=8, ahead=64))
    assert sum(unpacked) <= 1.1 * (sources / "packed.npz").stat().st_size

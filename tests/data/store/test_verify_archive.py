"""`prepare-data --verify` of zips and of StyleGAN folders: rot is found, whatever made them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from swincli.commands.app import run
from swincli.console import Console
from swincli.data.images.decode import out_of_memory
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.store.reader import Store
from swincli.data.store.verify_archive import verify_archive
from swincli.errors import DataError, ResourceError

Capture = pytest.CaptureFixture[str]
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of pictures, as two labels."""
    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for number in range(3):
            pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def prepared(pictures: Path, path: Path, labels: str | None = None) -> Path:
    form = {".zip": "zip", ".store": "store"}.get(path.suffix, "folder")
    prepare(str(pictures), path, PrepareOptions(16, workers=1, format=form, labels=labels), QUIET)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("labels", [None, "folders"])
@pytest.mark.parametrize("name", ["set.zip", "set"])
def test_what_is_whole_has_the_hash_of_its_store(
    name: str, labels: str | None, pictures: Path, tmp_path: Path, capsys: Capture
) -> None:
    path, store = prepared(pictures, tmp_path / name, labels), prepared(pictures, tmp_path / "a.store", labels)
    assert run(["prepare-data", "--verify", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"path": str(path), "ok": True, "images": 6, "content_hash": Store.open(store).content_hash}


def test_a_rotten_byte_of_any_image_is_found(pictures: Path, tmp_path: Path, capsys: Capture) -> None:
    path = prepared(pictures, tmp_path / "set.zip")
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        places = [(info.filename, info.header_offset) for info in archive.infolist() if info.filename.endswith(".png")]
    for name, start in places:
        place = whole.index(b"IDAT", start) + 20
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert run(["prepare-data", "--verify", str(path)]) == 1
        assert f"error: {path} is damaged: 1 of its files: {name}" in capsys.readouterr().err


def test_zips_of_other_programs_are_checked_too(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "photos"  # known by its first bytes
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(pictures.rglob("*.png")):
            archive.write(file, f"{file.parent.name}/{file.name}")
        archive.writestr("notes.txt", "no image")
    found = verify_archive(path, QUIET)
    assert (found.images, found.content_hash) == (6, None)
    data = path.read_bytes()
    path.write_bytes(data[:300] + b"rot" + data[303:])
    with pytest.raises(DataError, match=r"photos is damaged: 1 of its files: cat/0\.png"):
        verify_archive(path, QUIET)
    path.write_bytes(data[:-40])
    with pytest.raises(DataError, match="photos"):
        verify_archive(path, QUIET)


def test_files_of_the_system_are_passed_over_and_reasons_are_named(pictures: Path, tmp_path: Path) -> None:
    path, image = tmp_path / "photos.zip", (pictures / "cat/0.png").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a.png", ".hidden/b.png"):
            archive.writestr(name, image)
        archive.writestr("__MACOSX/._a.png", b"\0\5\x16\7metadata of the Finder")
    assert verify_archive(path, QUIET).images == 1
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("drawing.tif", b"8BPS of Photoshop")
    message = r"photos\.zip: 1 of its files cannot be read: drawing\.tif \(unsupported: a Photoshop file"
    with pytest.raises(DataError, match=message):
        verify_archive(path, QUIET)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("half.png", image[: len(image) // 2])
    message = r"is damaged: 1 of its files: half\.png \([^)]*cut short[^)]*\); 1 of its files cannot be read: drawing"
    with pytest.raises(DataError, match=message):
        verify_archive(path, QUIET)


def test_without_the_reader_of_heic_or_without_memory_nothing_is_called_damaged(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    monkeypatch.setattr("swincli.data.images.formats._add_to_pillow", lambda _: False)
    with pytest.raises(
        DataError, match=r"1 of its files cannot be read: phone\.heic \(HEIC.*swincli\[heif\]"
    ) as caught:
        verify_archive(path, QUIET)
    assert "damaged" not in caught.value.message
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(pictures / "cat/0.png", "a.png")
    monkeypatch.setattr("swincli.data.store.verify_archive.decode", Mock(side_effect=out_of_memory("a.png", 9, 9)))
    with pytest.raises(ResourceError, match=r"a\.png: not enough memory"):
        verify_archive(path, QUIET)


def test_files_that_are_whole_but_not_those_of_the_manifest(pictures: Path, tmp_path: Path) -> None:
    path = prepared(pictures, tmp_path / "set", "folders")
    verify_archive(path, QUIET)
    labels = json.loads((path / "dataset.json").read_text())
    (path / "dataset.json").write_text(json.dumps({"labels": [[name, 1 - label] for name, label in labels["labels"]]}))
    with pytest.raises(DataError, match="the images are not those of manifest"):
        verify_archive(path, QUIET)
    (path / "dataset.json").write_text(json.dumps(labels))
    verify_archive(path, QUIET)
    Image.new("RGB", (16, 16)).save(next(path.rglob("*.png")))
    with pytest.raises(DataError, match="content_hash differs"):
        verify_archive(path, QUIET)
    manifest = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(manifest.replace('"resolution": 16', '"resolution": "x"'))
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        verify_archive(path, QUIET)

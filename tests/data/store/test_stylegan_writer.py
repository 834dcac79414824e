"""Zips and folders in StyleGAN's layout."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from manifest_facts import FACTS
from numpy.typing import NDArray
from PIL import Image

from swincli.data.store.codecs import encode
from swincli.data.store.manifest import StyleGANManifest
from swincli.data.store.stylegan_writer import stylegan_name
from swincli.data.store.writers import OutputFormat, open_writer, output_encoding


def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)


def write(place: Path, wanted: OutputFormat, labels: list[int] | None = None) -> StyleGANManifest:
    facts = {**FACTS, "label_names": labels and ["a", "b"]}
    if wanted == "folder":
        place.mkdir()
    with open_writer(place, 16, wanted, "raw") as writer:
        for image in pixels():
            writer.add(image, encode(image, "png"))
        manifest = writer.finish(None if labels is None else np.array(labels), facts)
    assert isinstance(manifest, StyleGANManifest)
    return manifest


def read(place: Path) -> dict[str, bytes]:
    if place.is_dir():
        return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*.*")}
    with zipfile.ZipFile(place) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "00000/img00000000.png"), (1000, "00001/img00001000.png"), (12345678, "12345/img12345678.png")],
)
def test_names_are_stylegans(number: int, name: str) -> None:
    assert stylegan_name(number) == name


@pytest.mark.parametrize("wanted", ["zip", "folder"])
@pytest.mark.parametrize("labels", [None, [1, 0, 1]])
def test_pictures_labels_and_manifest(tmp_path: Path, wanted: OutputFormat, labels: list[int] | None) -> None:
    manifest = write(tmp_path / "x.zip", wanted, labels)
    files = read(tmp_path / "x.zip")
    assert set(files) == {*map(stylegan_name, range(3)), "dataset.json", "manifest.json"}
    for number, image in enumerate(pixels()):
        assert np.array_equal(Image.open(io.BytesIO(files[stylegan_name(number)])), image)
    rows = labels and [[stylegan_name(number), label] for number, label in enumerate(labels)]
    assert json.loads(files["dataset.json"]) == {"labels": rows}
    assert StyleGANManifest.model_validate_json(files["manifest.json"]) == manifest
    assert (manifest.images, manifest.resolution) == (3, 16)


def test_a_zip_and_a_folder_hold_the_same_files(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", "zip", [0, 1, 0])
    write(tmp_path / "b", "folder", [0, 1, 0])
    assert read(tmp_path / "a.zip") == read(tmp_path / "b")


def test_the_same_images_give_the_same_zip(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, "zip")
    one, two = (hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("a", "b"))
    assert one == two


def test_pictures_for_other_tools_are_png() -> None:
    assert [output_encoding(wanted, "webp") for wanted in ("store", "zip", "folder")] == ["webp", "png", "png"]
    assert output_encoding("store", "raw") == "raw"

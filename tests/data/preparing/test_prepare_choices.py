"""Options of `prepare`, and the manifest's record of them."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from prepared import digest, remade, run
from shared_material import CATS

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.preparing.survey import SourceRecord
from swincli.data.store.reader import Store
from swincli.data.store.verify import verify_store
from swincli.errors import DataError, UsageError

Noise = Callable[..., Image.Image]


def images(path: Path) -> np.ndarray[Any, Any]:
    store = Store.open(path)
    return store.fetch(np.arange(len(store)))


@pytest.fixture
def many(tmp_path: Path, noise: Noise) -> Path:
    """Forty pictures of two labels, one of them twice."""
    root = tmp_path / "many"
    for number in range(40):
        path = root / ("cats" if number % 4 else "dogs") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(20 + number, 24, number).save(path)
    shutil.copy(root / "cats" / "01.png", root / "cats" / "99.png")
    return root


CHOICES = [
    {"crop": "random", "labels": "folders", "split": "train:0.8,test:0.2"},
    {"crop": "center-wide", "gamma": "linear", "dedupe": "near", "filter": "bilinear"},
    {"background": "102030", "min_size": 22, "dedupe": "exact", "jpeg": "exact"},
]


@pytest.mark.usefixtures("worker_threads")
@pytest.mark.parametrize("choice", CHOICES)
def test_the_same_pictures_and_choices_give_the_same_bytes(
    choice: dict[str, Any], many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (many / "cats" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.chdir(tmp_path)
    run("many", Path("one"), workers=1, **choice)
    remade(Path("many"))
    run("many", Path("two"), workers=2, **choice)
    assert digest(Path("one")) == digest(Path("two"))
    with zipfile.ZipFile("many.zip", "w") as archive:
        for file in sorted(Path("many").rglob("*.*"), reverse=True):
            archive.write(file, file.relative_to("many"))
    packed = run("many.zip", Path("three"), workers=1, **choice)
    for part, manifest in packed.manifests.items():
        assert json.loads((Path("one") / part / "manifest.json").read_text())["content_hash"] == manifest.content_hash


def test_choices_are_in_the_manifest(many: Path, tmp_path: Path) -> None:
    manifest = run(many, tmp_path / "s").manifest
    assert (manifest.crop, manifest.filter, manifest.gamma, manifest.jpeg) == ("center", "lanczos", "srgb", "fast")
    assert (manifest.background, manifest.min_size, manifest.dedupe) == ("#ffffff", 1, None)
    manifest = run(many, tmp_path / "t", **CHOICES[2]).manifest
    assert (manifest.background, manifest.min_size, manifest.dedupe) == ("#102030", 22, "exact")
    assert Store.open(tmp_path / "t").manifest == manifest


def test_earlier_manifests_are_still_read(many: Path, tmp_path: Path) -> None:
    run(many, tmp_path / "s")
    path = tmp_path / "s" / "manifest.json"
    raw = json.loads(path.read_text())
    for key in ("gamma", "background", "jpeg", "min_size", "split", "part"):
        del raw[key]
    path.write_text(json.dumps(raw | {"dedupe": True}))
    manifest = Store.open(tmp_path / "s").manifest
    assert (manifest.dedupe, manifest.background, manifest.jpeg) == ("exact", "#ffffff", "exact")


def test_parts_hold_every_picture_once_with_labels_in_common(many: Path, tmp_path: Path) -> None:
    whole = run(many, tmp_path / "whole", labels="folders")
    split = run(many, tmp_path / "split", labels="folders", split="train:0.6,test:0.4")
    assert list(split.manifests) == ["train", "test"]
    assert sorted(item.name for item in (tmp_path / "split").iterdir()) == ["test", "train"]
    assert split.images == whole.images == 41
    assert split.size == sum(file.stat().st_size for file in split.path.rglob("*.*"))
    found = []
    for part, manifest in split.manifests.items():
        store = Store.open(split.path / part)
        verify_store(split.path / part, Console(quiet=True))
        assert (manifest.part, manifest.split) == (part, "train:0.6,test:0.4")
        assert manifest.label_names == ["cats", "dogs"]
        assert store.labels is not None
        found += [(image.tobytes(), label) for image, label in zip(images(store.path), store.labels, strict=True)]
    store = Store.open(whole.path)
    assert store.labels is not None
    wanted = [(image.tobytes(), label) for image, label in zip(images(whole.path), store.labels, strict=True)]
    assert sorted(found) == sorted(wanted)


def test_parts_stay_as_they_are_when_data_grows_and_files_are_renamed(many: Path, tmp_path: Path, noise: Noise) -> None:
    def parts() -> dict[bytes, str]:
        records: list[SourceRecord] = []
        options = PrepareOptions(16, split="train:0.5,test:0.5", force=True)
        prepare(str(many), tmp_path / "s", options, Console(quiet=True), records.append)
        return {item.digest: item.part for item in records if item.digest is not None}

    before = parts()
    assert set(before.values()) == {"train", "test"}
    (many / "cats" / "01.png").rename(many / "zz.png")
    noise(30, 30, 77).save(many / "0.png")
    after = parts()
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 1


def test_a_part_without_pictures_is_an_error(tmp_path: Path, noise: Noise) -> None:
    (tmp_path / "two").mkdir()
    noise(20, 20).save(tmp_path / "two" / "a.png")
    with pytest.raises(DataError, match=r"--split: part (train|test) has no picture"):
        run(tmp_path / "two", tmp_path / "s", split="train:0.9,test:0.1")
    assert [item.name for item in tmp_path.iterdir()] == ["two"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "train:0.9"}, "--split: the shares add up to 0.9"),
        ({"background": "no colour"}, "--background: 'no colour' is not a colour"),
        ({"min_size": 0}, "--min-size 0: must be at least 1"),
    ],
)
def test_choices_that_cannot_be(options: dict[str, Any], message: str, many: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        run(many, tmp_path / "s", **options)


def test_small_pictures_are_left_out_by_choice(many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(many, tmp_path / "s", resolution=32, min_size=24, stop_on_error=True)
    assert result.images == 36
    assert {item.kind for item in result.rejected} == {"too small"}
    assert result.rejected[0].reason == "too small: 21 x 24 px"
    assert "36 of 36 images were smaller than 32 px" in capsys.readouterr().err


def test_near_duplicates_are_left_out_and_the_first_name_stays(tmp_path: Path, noise: Noise) -> None:
    root = tmp_path / "p"
    root.mkdir()
    picture = noise(6, 6).resize((64, 64), Image.Resampling.BICUBIC)
    ImageEnhance.Brightness(picture).enhance(1.05).save(root / "b.jpg", quality=40)
    picture.save(root / "a.png")
    picture.save(root / "c.bmp")
    noise(6, 6, 1).resize((64, 64)).save(root / "d.png")
    exact, near = (run(root, tmp_path / dedupe, dedupe=dedupe) for dedupe in ("exact", "near"))
    assert [(item.source, item.reason) for item in exact.rejected] == [("c.bmp", "duplicate of a.png")]
    assert [item.source for item in near.rejected] == ["b.jpg", "c.bmp"]
    assert near.rejected[0].reason.startswith("near duplicate of a.png (")
    assert [item.kind for item in near.rejected] == ["near duplicate", "duplicate"]


def test_what_was_seen_is_told(many: Path, tmp_path: Path) -> None:
    (many / "notes.txt").write_text("hello")
    records: list[SourceRecord] = []
    table = tmp_path / "labels.csv"
    table.write_text("".join(f"{file.relative_to(many)},{file.parent.name}\n" for file in many.rglob("*.png")))
    options = PrepareOptions(16, labels=str(table), dedupe="exact")
    result = prepare(str(many), tmp_path / "s", options, Console(quiet=True), records.append)
    assert [item.name for item in records] == sorted(item.name for item in records)
    assert len(records) == 42
    kept = [item for item in records if item.kept]
    assert [item.place for item in kept] == list(range(result.images)) == list(range(40))
    assert [item.label for item in kept] == [item.name.split("/")[0] for item in kept]
    first, last = records[0], records[-1]
    assert (first.name, first.width, first.height, first.mode, first.kind) == ("cats/01.png", 21, 24, "RGB", "PNG")
    assert (last.name, last.width, last.kept, last.reason) == ("notes.txt", None, False, result.rejected[-1].reason)
    [twin] = [item for item in records if item.same_as]
    assert (twin.name, twin.same_as, twin.label) == ("cats/99.png", "cats/01.png", "cats")


def test_transparency_shows_the_background(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    Image.new("RGBA", (20, 20), (9, 9, 9, 0)).save(tmp_path / "p" / "a.png")
    run(tmp_path / "p", tmp_path / "s", background="navy")
    assert np.array_equal(np.unique(images(tmp_path / "s").reshape(-1, 3), axis=0), [[0, 0, 128]])


def test_labels_that_lie_unused_are_mentioned(many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[f"{file.relative_to(many)}", len(file.parent.name)] for file in many.rglob("*.png")]
    (many / "dataset.json").write_text(json.dumps({"labels": rows}))
    options = PrepareOptions(16, stop_on_error=True)
    prepare(str(many), tmp_path / "a", options, Console())
    assert f"{many} has labels that are not used. Use them with --labels dataset.json." in capsys.readouterr().err
    (many / "dataset.json").write_text('{"labels": null}')
    assert prepare(str(many), tmp_path / "b", options, Console()).rejected == []
    assert "labels" not in capsys.readouterr().err


def test_a_single_label_is_pointed_out(many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(many / "dogs")
    assert run(many, tmp_path / "s", labels="folders").manifest.label_names == ["cats"]
    assert "all images have the same label, cats" in capsys.readouterr().err


def test_two_pictures_make_a_store(tmp_path: Path, noise: Noise) -> None:
    (tmp_path / "p").mkdir()
    for number in range(2):
        noise(20, 20, number).save(tmp_path / "p" / f"{number}.png")
    assert len(Store.open(run(tmp_path / "p", tmp_path / "s").path)) == 2


@pytest.mark.slow
@pytest.mark.skipif(not CATS.exists(), reason="AFHQ is not here")
def test_the_cats_hold_near_duplicates_and_no_exact_ones(tmp_path: Path) -> None:
    assert run(CATS, tmp_path / "exact", resolution=128, dedupe="exact").rejected == []
    result = run(CATS, tmp_path / "near", resolution=128, dedupe="near")
    pairs = {item.source[-9:-5]: item.reason for item in result.rejected}
    assert len(pairs) == 138
    assert pairs["4326"] == "near duplicate of cat/pixabay_cat_001661.webp (0 of 64 bits differ)"

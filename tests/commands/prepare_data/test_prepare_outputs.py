"""Outputs of `swincli prepare-data` besides raw stores: encoded stores, zips, folders, reports; and --stats."""

from __future__ import annotations

import errno
import json
import re
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from swincli.commands.app import run
from swincli.data.images.digital_source import TRAINED, xmp_of
from swincli.data.store import staging
from swincli.data.store.reader import Store
from swincli.errors import ResourceError
from swincli.metrics.streams.images import open_images

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four pictures with two labels, one of them grey; a duplicate; and three files that are not pictures."""
    root = tmp_path / "photos"
    for number, name in enumerate(["cats/a.png", "cats/b.png", "dogs/c.png", "dogs/grey.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        smooth = np.random.default_rng(number).integers(0, 256, (5, 6, 3), np.uint8).repeat(4, 0).repeat(4, 1)
        picture = Image.fromarray(smooth)
        (picture.convert("L") if "grey" in name else picture).save(root / name)
    Image.open(root / "cats/a.png").save(root / "dogs/same as a.bmp")
    (root / "cats" / "cut.png").write_bytes((root / "cats" / "b.png").read_bytes()[:60])
    (root / "notes <b>.txt").write_text("hello")
    (root / "empty.jpg").touch()
    return root


def prepare(capsys: Capture, *arguments: object) -> dict[str, Any]:
    return call(capsys, *arguments, "--resolution", "16")


def call(capsys: Capture, *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["prepare-data", *map(str, arguments), "--json", "--quiet"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def fail(capsys: Capture, *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = run(["prepare-data", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return code, err


def test_encoded_stores_and_pictures_hold_the_same(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    labels = ("--labels", "folders")
    raw = prepare(capsys, photos, tmp_path / "raw", *labels)
    for encoding in ("png", "webp"):
        dest = tmp_path / encoding
        assert prepare(capsys, photos, dest, *labels, "--encoding", encoding)["content_hash"] == raw["content_hash"]
        assert Store.open(dest).manifest.encoding == encoding
        assert run(["prepare-data", "--verify", str(dest), "--quiet"]) == 0
        assert np.array_equal(Store.open(dest).fetch(np.arange(5)), Store.open(tmp_path / "raw").fetch(np.arange(5)))
    for dest, more in ((tmp_path / "x.zip", ()), (tmp_path / "folder", ("--format", "folder"))):
        assert prepare(capsys, photos, dest, *labels, *more)["content_hash"] == raw["content_hash"]
        again = prepare(capsys, dest, tmp_path / f"{dest.name} again", "--labels", dest_labels(dest))
        assert (again["content_hash"], again["rejected"]) == (raw["content_hash"], [])


def dest_labels(dest: Path) -> str:
    return "dataset.json" if dest.suffix == ".zip" else str(dest / "dataset.json")


def test_lossless_files_are_begun_where_pixels_would_not_fit(
    photos: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "free_bytes", lambda _: 5 * 16 * 16 * 3)  # seven files have a picture's suffix
    code, err = fail(capsys, photos, tmp_path / "raw", "--resolution", "16")
    assert (code, "7 images at 16 px need 5.2 KiB, the disk has 3.8 KiB free" in err) == (1, True)
    assert prepare(capsys, photos, tmp_path / "webp", "--encoding", "webp")["images"] == 5


def test_files_that_are_no_pictures_need_no_space(
    photos: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        (photos / f"{number}.svg").write_text("<svg/>")
    monkeypatch.setattr(staging, "free_bytes", lambda _: 7 * 16 * 16 * 3)
    assert prepare(capsys, photos, tmp_path / "store")["images"] == 5


def test_a_zip_is_as_stylegan_reads_it(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    prepare(capsys, photos, tmp_path / "x.zip", "--labels", "folders")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        # as training/dataset.py of StyleGAN3 reads it
        names = sorted(
            name for name in archive.namelist() if Path(name).suffix.lower() in Image.registered_extensions()
        )
        labels = dict(json.loads(archive.read("dataset.json"))["labels"])
        images = [np.array(Image.open(archive.open(name))) for name in names]
    assert names == [f"00000/img{number:08d}.png" for number in range(5)]
    assert {image.shape for image in images} == {(16, 16, 3)}
    assert [labels[name] for name in names] == [0, 0, 1, 1, 1]


def test_evaluate_reads_all_of_them(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    kinds = {"raw": (), "webp": ("--encoding", "webp"), "x.zip": (), "folder": ("--format", "folder")}
    for name, more in kinds.items():
        prepare(capsys, photos, tmp_path / name, *more)
        with open_images(str(tmp_path / name)) as images:
            assert images.count == 5
            pictures = [load() for load in images.read(np.arange(5))]
        assert np.array_equal(pictures, Store.open(tmp_path / "raw").fetch(np.arange(5)))


def test_the_same_pictures_give_the_same_zip(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    prepare(capsys, photos, tmp_path / "a.zip", "--workers", "1")
    before = (tmp_path / "a.zip").read_bytes()
    assert "exists" in fail(capsys, photos, tmp_path / "a.zip", "--resolution", "16")[1]
    prepare(capsys, photos, tmp_path / "a.zip", "--force")
    assert (tmp_path / "a.zip").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "photos"]


def test_parts_may_be_zips(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    found = prepare(capsys, photos, tmp_path / "sets", "--split", "one:0.2,two:0.8", "--format", "zip")
    assert sorted(path.name for path in (tmp_path / "sets").iterdir()) == ["one.zip", "two.zip"]
    assert sum(part["images"] for part in found["parts"].values()) == found["images"] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{photos}", "{new}", "--format", "zip"], "the name of a zip must end in .zip"),
        (["{photos}", "{new}.zip", "--encoding", "webp"], "--encoding webp: a zip holds PNG files"),
        (["{photos}", "{new}", "--report", "r.txt"], "--report r.txt: the name of a .html file is required"),
        (["{photos}", "{new}", "--contact-sheet", "r.jpg"], "--contact-sheet r.jpg: the name of a .png file"),
        (["{photos}", "{new}", "--report", "{new}/r.html"], "is inside {new}"),
        (["{photos}", "{new}", "--report", "{photos}/r.html"], "is inside {photos}"),
        (["{photos}", "{new}", "--stats", "{photos}"], "--stats: cannot be combined with SOURCE, DEST or --verify"),
        (["--verify", "{new}", "--stats", "{photos}"], "--verify: cannot be combined with SOURCE, DEST or --stats"),
    ],
)
def test_wrong_use(photos: Path, tmp_path: Path, capsys: Capture, arguments: list[str], message: str) -> None:
    places = {"photos": photos, "new": tmp_path / "new"}
    code, err = fail(capsys, *(argument.format(**places) for argument in arguments), "--resolution", "16")
    assert code == 2
    assert message.format(**places) in err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_report_and_contact_sheet(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    page, sheet = tmp_path / "out" / "report.html", tmp_path / "out" / "sheet.png"
    options = ("--dedupe", "--labels", "folders", "--report", page, "--contact-sheet", sheet)
    (photos / "notes <b>.txt").rename(photos / "cats" / "notes <b>.txt")
    (photos / "empty.jpg").rename(photos / "cats" / "empty.jpg")
    found = prepare(capsys, photos, tmp_path / "store", *options)
    assert found["reasons"] == {"damaged": 1, "empty file": 1, "not an image": 1, "duplicate": 1}
    assert found["duplicates"] == [["cats/a.png", "dogs/same as a.bmp"]]
    assert found["modes"] == {"RGB": 4, "L": 1}
    assert found["labels"] == {"cats": 2, "dogs": 2}
    assert (found["files"], found["report"], found["contact_sheet"]) == (8, str(page), str(sheet))
    html = page.read_text(encoding="utf-8")
    assert "notes &lt;b&gt;.txt" in html
    assert "<b>" not in html
    assert html.count("data:image/jpeg;base64,") == 2 + 4  # a pair of duplicates, and four images
    assert "4 of 8 files became images of 16 x 16 px" in html
    with Image.open(sheet) as image:
        assert image.size == (4 * 18 + 2, 18 + 2)
        tile = np.asarray(image)[2:18, 2:18]
    assert np.array_equal(tile, Store.open(tmp_path / "store").fetch(np.array([0]))[0])
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == [
        "images-00000.npy", "labels.npy", "manifest.json",
    ]  # fmt: skip


def test_generated_pictures_are_counted_and_warned_of(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    page, store = tmp_path / "report.html", tmp_path / "store"
    with Image.open(photos / "cats/b.png") as picture:
        picture.save(photos / "cats/drawn <b>.jpg", xmp=xmp_of(TRAINED), quality=95)
    assert run(["prepare-data", str(photos), str(store), "--resolution", "16", "--report", str(page)]) == 0
    err = capsys.readouterr().err
    assert "1 picture says in the metadata that a trained algorithm made it, of 6" in " ".join(err.split())
    assert Store.open(store).manifest.generated == {TRAINED: 1}
    html = page.read_text(encoding="utf-8")
    assert "Generated pictures" in html
    assert html.count("drawn &lt;b&gt;.jpg") == 2  # beside the note, and among the examples
    assert call(capsys, "--stats", photos)["generated"] == {TRAINED: 1}
    assert call(capsys, "--stats", store)["generated"] == {TRAINED: 1}
    (photos / "cats/drawn <b>.jpg").unlink()
    assert call(capsys, "--stats", photos)["generated"] == {}


def test_a_report_of_a_failure(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    page = tmp_path / "report.html"
    code, err = fail(capsys, photos, tmp_path / "store", "--resolution", "16", "--crop", "none", "--report", page)
    assert (code, (tmp_path / "store").exists()) == (1, False)
    assert "5 pictures are not square" in err
    html = page.read_text(encoding="utf-8")
    assert "No store was made: 5 pictures are not square" in html
    assert "cats/a.png: not square: 24 x 20 px" in html


@pytest.mark.parametrize("option", ["--report", "--contact-sheet"])
@pytest.mark.parametrize("why", ["folder", "file"])
def test_a_report_that_cannot_be_written_is_noticed_before_the_work(
    photos: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, option: str, why: str
) -> None:
    (tmp_path / "file").touch()
    suffix = {"--report": ".html", "--contact-sheet": ".png"}[option]
    place = tmp_path / ("file" if why == "file" else "new/folder") / f"r{suffix}"
    if why == "folder":
        monkeypatch.setattr(Path, "touch", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    code, err = fail(capsys, photos, tmp_path / "store", "--resolution", "16", option, place)
    told = {"folder": "permission denied", "file": "there is a file where a folder is needed"}[why]
    assert (code, err.splitlines()[0]) == (1, f"error: writing {place}: {told}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "photos"]


def test_a_report_that_fails_after_the_work_says_that_the_store_is_whole(
    photos: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = ResourceError("writing r.html: no space left on the disk", "Free some space.")
    monkeypatch.setattr("swincli.commands.prepare_data.run.write_reports", Mock(side_effect=full))
    store = tmp_path / "store"
    code, err = fail(capsys, photos, store, "--resolution", "16", "--report", tmp_path / "r.html")
    assert code == 1
    assert f"error: writing r.html: no space left on the disk; {store} itself is complete\n" in err
    assert "hint: Free some space." in err
    assert len(Store.open(store)) == 5
    code, err = fail(capsys, photos, tmp_path / "b", "--resolution", "16", "--crop", "none", "--report", "r.html")
    assert "warning: writing r.html: no space left on the disk" in err
    assert "error: 5 pictures are not square" in err


@pytest.mark.parametrize("command", [["{tar}", "{dest}"], ["--stats", "{tar}"]])
def test_a_compressed_tar_is_unpacked_once(
    photos: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    packed = tmp_path / "photos.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(photos, "photos")
    unpack = Mock(side_effect=tempfile.TemporaryFile)
    monkeypatch.setattr("swincli.data.sources.tar_file.tempfile.TemporaryFile", unpack)
    files = ("--report", tmp_path / "r.html", "--contact-sheet", tmp_path / "c.png")
    found = prepare(capsys, *(word.format(tar=packed, dest=tmp_path / "store") for word in command), *files)
    assert found["images"] in (4, 5)
    assert (tmp_path / "r.html").is_file()
    assert unpack.call_count == 1


def test_duplicates_are_shown_as_cropped(tmp_path: Path, capsys: Capture) -> None:
    square = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    wide = np.concatenate([np.zeros((32, 32, 3), np.uint8), square, np.zeros((32, 32, 3), np.uint8)], axis=1)
    (tmp_path / "p").mkdir()
    Image.fromarray(square).save(tmp_path / "p" / "a.png")
    Image.fromarray(wide).save(tmp_path / "p" / "b.png")
    found = prepare(capsys, tmp_path / "p", tmp_path / "s", "--dedupe", "--report", tmp_path / "r.html")
    assert found["duplicates"] == [["a.png", "b.png"]]
    shown = re.findall(r"base64,([^\"]+)", (tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(shown) == 3  # the pair, and the example
    assert len(set(shown)) == 1


def test_animations_and_pages_are_counted(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    frames = [Image.fromarray(np.full((20, 20, 3), value, np.uint8)) for value in (10, 90, 200)]
    for name in ("a.gif", "a.webp", "a.tif", "a.apng"):
        kind = {"a.apng": "PNG", "a.tif": "TIFF"}.get(name)
        frames[0].save(photos / name, kind, save_all=True, append_images=frames[1:])
    found = prepare(capsys, photos, tmp_path / "s", "--report", tmp_path / "r.html")
    assert (found["several_frames"], found["images"]) == (4, 9)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Of 4 pictures with several frames or pages, the first one is used." in page
    run(["prepare-data", str(photos), str(tmp_path / "t"), "--resolution", "16"])
    err = " ".join(capsys.readouterr().err.split())
    assert "frames first one of 4 pictures with several frames or pages: a.apng, a.gif, a.tif, ..." in err


def test_stats_of_a_source_and_of_its_store(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    prepare(capsys, photos, tmp_path / "store", "--dedupe")
    pixels = Store.open(tmp_path / "store").fetch(np.arange(4)) / 255
    for place, side in ((photos, ["--resolution", "16"]), (tmp_path / "store", [])):
        files = ("--report", tmp_path / "r.html", "--contact-sheet", tmp_path / "c.png")
        found = call(capsys, "--stats", place, *files, *side)
        assert found["mean"] == pytest.approx(pixels.mean((0, 1, 2)))
        assert found["std"] == pytest.approx(pixels.std((0, 1, 2)))
        assert (found["images"], found["resolution"]) == (4, 16)
        assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
        with Image.open(tmp_path / "c.png") as sheet:
            assert np.array_equal(np.asarray(sheet)[2:18, 2:18], np.round(pixels[0] * 255))
    assert found["rejected"] == found["duplicates"] == []


def test_stats_find_duplicates_in_a_store(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    prepare(capsys, photos, tmp_path / "store")
    assert call(capsys, "--stats", tmp_path / "store")["duplicates"] == [["image 0", "image 4"]]
    capsys.readouterr()
    assert run(["prepare-data", "--stats", str(tmp_path / "store")]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["mean", "std"]
    assert "1 duplicate: image 4" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "store"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--verify", "{store}", "--report", "r.html", "--dedupe-near"], "--dedupe-near, --report: cannot be combined"),
        (["--verify", "{store}", "--force"], "--force: cannot be combined with --verify"),
        (["--stats", "{photos}", "--split", "a:0.5,b:0.5", "--format", "zip"], "--split, --format: cannot be combined"),
        (["--stats", "{store}", "--crop", "none"], "--crop: cannot be combined with --stats of a store"),
    ],
)
def test_options_without_effect_are_refused(
    photos: Path, tmp_path: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    places = {"photos": photos, "store": tmp_path / "store"}
    prepare(capsys, photos, tmp_path / "store")
    code, err = fail(capsys, *(argument.format(**places) for argument in arguments))
    assert (code, message in err) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "store"]


def test_stats_of_nothing(tmp_path: Path, capsys: Capture) -> None:
    code, err = fail(capsys, "--stats", tmp_path / "nothing")
    assert (code, "nothing does not exist" in err) == (1, True)

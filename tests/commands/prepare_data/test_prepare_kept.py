"""`prepare-data --force` never removes what it reads, whatever it reads and whatever DEST is."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swincli.commands.app import run
from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.errors import UsageError

Capture = pytest.CaptureFixture[str]
OPTIONS = {
    "store": ["--encoding", "raw"],
    "folder": ["--format", "folder"],
    "stores": ["--split", "a:0.5,b:0.5"],
    "folders": ["--format", "folder", "--split", "a:0.5,b:0.5"],
    "zips": ["--format", "zip", "--split", "a:0.5,b:0.5"],
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number in range(8):
        place = tmp_path / "pics" / "cats" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(place)
    return tmp_path / "pics"


def call(*arguments: object) -> int:
    return run(["prepare-data", *map(str, arguments), "--resolution", "16", "--workers", "1", "--quiet"])


def made(pictures: Path, kind: str) -> Path:
    dest = pictures.parent / kind
    assert call(pictures, dest, "--labels", "folders", *OPTIONS[kind]) == 0
    return dest


def content(folder: Path) -> dict[str, str]:
    """Hashes of all files."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def itself(inside: Path, _: Path) -> Path:
    return inside


def link(inside: Path, beside: Path) -> Path:
    place = beside / f"link{inside.suffix}"
    place.symlink_to(inside)
    return place


@pytest.mark.parametrize("spell", [itself, link])
@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("store", "images-00000.npy"),
        ("folder", "00000"),
        ("stores", "a/images-00000.npy"),
        ("folders", "b"),
        ("folders", "b/00000"),
        ("zips", "a.zip"),
    ],
)
@pytest.mark.parametrize("wanted", ["store", "folder", "zips"])
def test_a_source_inside_dest_stays(
    kind: str, source: str, wanted: str, spell: Callable[[Path, Path], Path], pictures: Path, capsys: Capture
) -> None:
    dest = made(pictures, kind)
    before = content(dest)
    spelled = spell(dest / source, pictures.parent)
    assert call(spelled, dest, *OPTIONS[wanted], "--force") == 2
    assert f"the source {spelled} is inside {dest}" in " ".join(capsys.readouterr().err.split())
    assert content(dest) == before


def listing(dest: Path) -> Path:
    """A list of a picture in DEST and of one beside it."""
    path = dest.parent / "list.txt"
    path.write_text(f"pics/cats/0.png\n{dest.name}/00000/img00000001.png\n")
    return path


def folder_of_links(dest: Path) -> Path:
    (dest.parent / "links").mkdir()
    (dest.parent / "links" / "x.png").symlink_to(dest / "00000" / "img00000001.png")
    return dest.parent / "links"


def link_to_a_folder(dest: Path) -> Path:
    (dest.parent / "links").mkdir()
    (dest.parent / "links" / "inner").symlink_to(dest / "00000")
    return dest.parent / "links"


@pytest.mark.parametrize("source", [listing, folder_of_links, link_to_a_folder])
def test_pictures_inside_dest_stay(source: Callable[[Path], Path], pictures: Path, capsys: Capture) -> None:
    dest = made(pictures, "folder")
    before = content(dest)
    assert call(source(dest), dest, "--format", "folder", "--force") == 2
    assert "is inside" in capsys.readouterr().err
    assert content(dest) == before


@pytest.mark.parametrize("spell", [itself, link])
@pytest.mark.parametrize("option", ["labels", "captions"])
def test_a_file_of_labels_or_captions_inside_dest_stays(
    option: str, spell: Callable[[Path, Path], Path], pictures: Path
) -> None:
    dest = made(pictures, "folder")
    (dest / "dataset.json").write_text('{"labels": [' + ", ".join(f'["cats/{n}.png", "x"]' for n in range(8)) + "]}")
    before = content(dest)
    place = spell(dest / "dataset.json", pictures.parent)
    options = PrepareOptions(16, force=True, **{option: str(place)})
    with pytest.raises(UsageError, match=f"--{option} {place} is inside {dest}"):
        prepare(str(pictures), dest, options, Console(quiet=True))
    assert content(dest) == before


def test_dest_may_hold_a_file_of_the_name_of_the_sources_own(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name is that of the source's own file first, so the one in DEST is not read."""
    dest, source = made(pictures, "folder"), pictures.parent / "other"
    made(pictures, "zips")
    assert call(pictures, source, "--labels", "folders", "--format", "folder") == 0
    monkeypatch.chdir(dest)
    assert call("../other", "../folder", "--labels", "dataset.json", "--format", "folder", "--force") == 0
    assert content(dest).keys() == content(source).keys()


def test_what_is_beside_dest_is_read(pictures: Path) -> None:
    beside = made(pictures, "zips")
    dest = made(pictures, "folder")
    (pictures / "broken.png").symlink_to("broken.png")
    for source in (beside / "a.zip", pictures):
        assert call(source, dest, "--format", "folder", "--force") == 0

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from swincli.commands.app import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number, name in enumerate(["cats/a.png", "cats/b.png", "dogs/c.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(root / name)
    return root


def test_the_path_goes_to_stdout_and_the_rest_to_stderr(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (folder / "notes.txt").write_text("hello")
    dest = tmp_path / "store"
    assert run(["prepare-data", str(folder), str(dest), "--resolution", "16"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{dest}\n"
    assert "3 of 16 x 16 px" in err
    assert "1 not an image" in err
    assert "notes.txt" in err
    assert str(dest) in "".join(err.split())  # the line may be folded


def test_what_is_not_read_is_told(
    folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for name in ("locked", "cats/@eaDir"):
        (folder / name).mkdir()
    assert run(["prepare-data", str(folder), str(tmp_path / "store"), "--resolution", "16"]) == 0
    err = capsys.readouterr().err
    assert f"warning: {folder}/locked: cannot be read: Permission denied; the folder is skipped\n" in err
    assert f"{folder}: passed over 1 hidden or system item (1 @eaDir)\n" in err
    assert "1 cannot be read: locked" in err
    assert run(["prepare-data", "--stats", str(folder), "--resolution", "16", "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["rejected"] == [{"source": "locked", "reason": "cannot be read: Permission denied"}]
    assert err.startswith("warning: ")


def test_json(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (folder / "notes.txt").write_text("hello")
    arguments = [str(folder), str(tmp_path / "s"), "--resolution", "16", "--labels", "folders", "--json", "--quiet"]
    assert run(["prepare-data", *arguments]) == 0
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert (data["path"], data["images"]) == (str(tmp_path / "s"), 3)
    [rejected] = data["rejected"]
    assert rejected["source"] == "notes.txt"
    assert rejected["reason"].startswith("not an image")
    assert data["label_names"] == ["cats", "dogs"]
    assert data["content_hash"] == json.loads((tmp_path / "s" / "manifest.json").read_text())["content_hash"]
    assert err == ""


def test_every_option_arrives(folder: Path, tmp_path: Path) -> None:
    (folder / "cats" / "same.png").write_bytes((folder / "cats" / "a.png").read_bytes())
    table = tmp_path / "l.csv"
    table.write_text("cats/a.png,x\ncats/b.png,y\ncats/same.png,x\ndogs/c.png,x\n")
    (tmp_path / "s").mkdir()
    options = ["--resolution", "16", "--crop", "center", "--filter", "bicubic", "--labels", str(table)]
    options += ["--max-images", "0.002k", "--on-error", "skip", "--dedupe", "--workers", "1", "--force"]
    options += ["--background", "navy", "--gamma", "linear", "--min-size", "9", "--jpeg", "exact"]
    assert run(["prepare-data", str(folder), str(tmp_path / "s"), *options]) == 0
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert manifest["filter"] == "bicubic"
    assert manifest["images"] == manifest["max_images"] == 2
    assert manifest["dedupe"] == "exact"
    assert [manifest[key] for key in ("background", "gamma", "min_size", "jpeg")] == ["#000080", "linear", 9, "exact"]
    assert manifest["label_names"] == ["x", "y"]


def test_parts_and_near_duplicates(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (folder / "cats" / "same.png").write_bytes((folder / "cats" / "a.png").read_bytes())
    options = ["--resolution", "16", "--split", "a:0.5,b:0.5", "--dedupe-near", "--crop", "random", "--json"]
    for number in range(20):
        pixels = np.random.default_rng(9 + number).integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    assert run(["prepare-data", str(folder), str(tmp_path / "s"), *options]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["images"] == 23
    assert data["rejected"] == [{"source": "cats/same.png", "reason": "duplicate of cats/a.png"}]
    manifests = [json.loads((tmp_path / "s" / part / "manifest.json").read_text()) for part in ("a", "b")]
    assert sum(manifest["images"] for manifest in manifests) == 23
    assert {manifest["dedupe"] for manifest in manifests} == {"near"}


def test_verify(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    dest = tmp_path / "store"
    run(["prepare-data", str(folder), str(dest), "--resolution", "16"])
    capsys.readouterr()
    assert run(["prepare-data", "--verify", str(dest)]) == 0
    assert capsys.readouterr().out == f"{dest}: ok\n"
    assert run(["prepare-data", "--verify", str(dest), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    shard = dest / "images-00000.npy"
    data = bytearray(shard.read_bytes())
    data[-5] ^= 0x10
    shard.write_bytes(data)
    assert run(["prepare-data", "--verify", str(dest)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {dest} is damaged: images-00000.npy")
    assert "hint: " in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "SOURCE, DEST and --resolution: all three are required"),
        (["{photos}", "{dest}"], 2, "SOURCE, DEST and --resolution: all three are required"),
        (["{photos}", "{dest}", "--resolution", "0"], 2, "--resolution 0 is not a power of two"),
        (["{photos}", "{dest}", "--resolution", "100"], 2, "resolution 100 is not a power of two"),
        (["{photos}", "{dest}", "--resolution", "16", "--max-images", "many"], 2, "--max-images many: 'many'"),
        (["{photos}", "{dest}", "--resolution", "16", "--max-images", "0"], 2, "--max-images 0"),
        (["{photos}", "{dest}", "--resolution", "16", "--filter", "nearest"], 2, "'nearest' is not one of"),
        (["{photos}", "{dest}", "--resolution", "16", "--workers", "0"], 2, "'--workers'"),
        (["{photos}", "--verify", "{dest}"], 2, "--verify: cannot be combined with SOURCE, DEST or --stats"),
        (["builtin:emojis", "{dest}", "--resolution", "16"], 2, "builtin:emojis"),
        (["{photos}", "{photos}/store", "--resolution", "16"], 2, "is inside the source"),
        (
            ["{photos}", "{dest}", "--resolution", "16", "--background", "rose"],
            2,
            "'rose' is not a colour",
        ),
        (["{photos}", "{dest}", "--resolution", "16", "--split", "a:0.5"], 2, "--split: the shares add up to 0.5"),
        (["{photos}", "{dest}", "--resolution", "16", "--min-size", "0"], 2, "'--min-size'"),
        (["{photos}", "{dest}", "--resolution", "16", "--min-size", "99"], 1, "too small: 24 x 20 px"),
        (["{photos}/none", "{dest}", "--resolution", "16"], 1, "none does not exist"),
        (["{photos}", "{dest}", "--resolution", "16", "--crop", "none"], 1, "3 pictures are not square"),
        (["{photos}", "{dest}", "--resolution", "16", "--labels", "x.csv"], 1, "x.csv does not exist"),
        (["--verify", "{dest}"], 1, "does not exist"),
    ],
)
def test_errors(folder: Path, tmp_path: Path, capsys: Capture, arguments: list[str], code: int, message: str) -> None:
    filled = [argument.format(photos=folder, dest=tmp_path / "store") for argument in arguments]
    assert run(["prepare-data", *filled]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "store").exists()


def test_stopping_names_the_file(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (folder / "cats" / "b.png").write_bytes((folder / "cats" / "b.png").read_bytes()[:200])
    arguments = ["prepare-data", str(folder), str(tmp_path / "s"), "--resolution", "16"]
    assert run([*arguments, "--on-error", "stop"]) == 1
    assert f"error: {folder}/cats/b.png: damaged" in capsys.readouterr().err
    assert run(arguments) == 0
    assert "1 damaged: cats/b.png" in capsys.readouterr().err

"""Calls of `swincli sample` without --out never collide, and an interrupted one goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swincli.commands.app import run
from swincli.system.leftovers import hidden_beside

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sample(model: Path, *arguments: str) -> int:
    return run(["sample", "--checkpoint", str(model), "--device", "cpu", *arguments])


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def folder_of(model: Path, capsys: Capture, *arguments: str) -> str:
    capsys.readouterr()
    assert sample(model, *arguments, "--json") == 0
    printed = capsys.readouterr()
    (folder,) = {Path(path).parent for path in json.loads(printed.out)["images"]}
    told = f"samples holds images of other settings; writing to {folder}" in printed.err
    assert told == (str(folder) != "samples")
    return str(folder)


def test_calls_one_after_another_take_the_next_free_folder(model: Path, capsys: Capture) -> None:
    """The guides' commands: seeds, a mix, a sweep, codes of a file, each with settings of its own."""
    seeds = ["--seeds", "0-1", "--truncation", "0.7", "--grid", "2x1"]
    assert folder_of(model, capsys, *seeds, "--save-latents", "codes.npz") == "samples"
    mix = ["--mix", "0:1@coarse", "--truncation", "0.8"]
    assert folder_of(model, capsys, *mix) == "samples-2"  # its sources are seeds 0 and 1 too
    assert folder_of(model, capsys, "--seeds", "0", "--truncation", "0.7", "--sweep", "sefa:0") == "samples"
    assert folder_of(model, capsys, "--latents", "codes.npz", "--grid", "2x1") == "samples-2"  # another grid.png
    assert folder_of(model, capsys, "--seeds", "0-1", "--format", "zip") == "samples"
    assert folder_of(model, capsys, "--seeds", "0-2", "--format", "zip") == "samples-2"
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*.png")}
    for arguments, folder in ((seeds, "samples"), (mix, "samples-2")):  # again: nothing is drawn
        assert folder_of(model, capsys, *arguments) == folder
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*.png")} == before


@pytest.mark.parametrize("form", ["png", "npz"])
def test_an_interrupted_call_goes_on_in_its_folder(form: str, model: Path, capsys: Capture) -> None:
    assert folder_of(model, capsys, "--seeds", "0-3", "--format", form) == "samples"
    parts = Path("samples-2") / (".images.npz.parts" if form == "npz" else "")
    hindrance = hidden_beside(parts / "seed-000002.png", "partial")
    hindrance.mkdir(parents=True)
    other = ["--seeds", "0-3", "--truncation", "0.5", "--format", form]
    assert sample(model, *other) == 1
    assert [path.name for path in sorted(parts.glob("seed-*"))] == ["seed-000000.png", "seed-000001.png"]
    hindrance.rmdir()
    for path in Path("samples").iterdir():  # there is room in the first folder now
        path.unlink()
    capsys.readouterr()
    assert sample(model, *other) == 0
    assert "2 of 4 images already exist" in capsys.readouterr().err
    assert len(names("samples-2")) == (1 if form == "npz" else 4)
    assert names("samples") == []


def test_foreign_files_are_never_touched(model: Path, capsys: Capture) -> None:
    Path("samples").mkdir()
    Path("samples/seed-000000.png").write_bytes(b"my own work")
    Path("samples-2").write_text("a file")
    assert folder_of(model, capsys, "--seeds", "0") == "samples-3"
    assert Path("samples/seed-000000.png").read_bytes() == b"my own work"
    assert sample(model, "--seeds", "0", "--out", "samples") == 1
    assert sample(model, "--seeds", "0", "--force") == 0
    assert Path("samples/seed-000000.png").read_bytes() != b"my own work"


def test_walks_without_a_name_are_numbered(model: Path, capsys: Capture) -> None:
    pytest.importorskip("av")
    command = ["interpolate", "--checkpoint", str(model), "--seeds", "1,2", "--frames", "2", "--device", "cpu"]
    written = []
    for _ in range(2):
        assert run(command) == 0
        written.append(capsys.readouterr().out.strip())
    assert written == ["walk.mp4", "walk-2.mp4"]
    assert run([*command, "--out", "walk.mp4"]) == 1
    assert run([*command, "--force"]) == 0
    assert sorted(path.name for path in Path().glob("*.mp4")) == ["walk-2.mp4", "walk.mp4"]

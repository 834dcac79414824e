"""No command deletes or overwrites a file that it did not make, unless `--force` is given."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.commands.app import run

Capture = pytest.CaptureFixture[str]
QUICK = ("--device", "cpu", "--quiet")
PROJECT = "project {pictures}/0.png --checkpoint {model} --out out --steps 1 --loss none"
STATS = "prepare-data --stats {pictures} --resolution 16 --workers 1"
EVALUATE = "evaluate --images {pictures} --data {pictures} --detector {script} --detector-size 16"

COMMANDS = {
    "report": (f"{STATS} --report out/a.html", "out/a.html"),
    "contact sheet": (f"{STATS} --contact-sheet out/a.png", "out/a.png"),
    "report of a store": (
        "prepare-data {pictures} store --resolution 16 --workers 1 --report out/a.html",
        "out/a.html",
    ),
    "reference": (f"{EVALUATE} --save-reference out/a.npz", "out/a.npz"),
    "plots": (f"{EVALUATE} --metric spectrum --plots out", "out/spectrum.png"),
    "comparison": ("evaluate --compare {measured} --plots out", "out/comparison.png"),
    "original": ("convert {model} out/a.pt", "out/a.pt"),
    "image": ("sample --seeds 1 --checkpoint {model} --out out", "out/seed-000001.png"),
    "latents": ("sample --seeds 1 --checkpoint {model} --out out --save-latents out/a.npz", "out/a.npz"),
    "grid": ("sample --seeds 1-2 --checkpoint {model} --out out --grid 2x1", "out/grid.png"),
    "walk": ("interpolate --seeds 1,2 --frames 2 --checkpoint {model} --out out/a.gif", "out/a.gif"),
    "code": (PROJECT, "out/0.npz"),
    "picture": (PROJECT, "out/0.png"),
    "records": (PROJECT, "out/projections.json"),
    "search": (f"{PROJECT} --video", "out/0-search.mp4"),
}


def command_of(name: str, places: dict[str, Path]) -> list[str]:
    parts = [part.format(**places) for part in COMMANDS[name][0].split()]
    without_device = parts[0] in ("prepare-data", "convert") or "--compare" in parts
    return [*parts, *(QUICK[2:] if without_device else QUICK)]


class MeanColours(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, 2).flatten(1)


@pytest.fixture(scope="module")
def places(pictures: Path, model: Path, trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("detector")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(MeanColours()).save(str(folder / "tiny.pt"))
    measured = shutil.copytree(trained_run, folder / "run")
    evaluate = ["evaluate", "--num", "4", "--data", str(pictures), "--detector", str(folder / "tiny.pt"), *QUICK]
    assert run([*evaluate, "--checkpoint", str(measured)]) == 0
    return {"pictures": pictures, "model": model, "script": folder / "tiny.pt", "measured": measured}


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_foreign_file_is_replaced_only_with_force(name: str, places: dict[str, Path], capsys: Capture) -> None:
    command, place = command_of(name, places), COMMANDS[name][1]
    if place.endswith(("mp4", "gif")):
        pytest.importorskip("av")
    Path(place).parent.mkdir()
    Path(place).write_bytes(b"my own work")
    assert run(command) == 1
    assert f"error: {place}: exists" in capsys.readouterr().err
    assert Path(place).read_bytes() == b"my own work"
    assert [path.name for path in Path("out").iterdir()] == [Path(place).name]
    assert not Path("store").exists()
    assert run([*command, "--force"]) == 0
    assert Path(place).read_bytes() != b"my own work"


@pytest.mark.parametrize("name", ["report", "contact sheet", "reference", "plots", "comparison", "records", "latents"])
def test_a_file_of_the_same_command_is_replaced(name: str, places: dict[str, Path]) -> None:
    command, place = command_of(name, places), COMMANDS[name][1]
    assert run(command) == 0
    assert Path(place).exists()
    assert run(command) == 0


def test_a_projection_without_a_video_leaves_the_file_of_that_name(places: dict[str, Path]) -> None:
    Path("out").mkdir()
    Path("out/0-search.mp4").write_bytes(b"my own work")
    assert run(command_of("code", places)) == 0
    assert Path("out/0-search.mp4").read_bytes() == b"my own work"

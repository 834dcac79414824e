"""Commands that read pictures or files of numbers say what they need where they get something else."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swincli.commands.app import run

Capture = pytest.CaptureFixture[str]
COMMANDS = {
    "evaluate --images": ["evaluate", "--images", "{given}", "--data", "full"],
    "evaluate --data": ["evaluate", "--images", "full", "--data", "{given}"],
    "project": ["project", "{given}", "--loss", "none", "--steps", "3"],
    "--positive": ["directions", "find", "x", "--positive", "{given}", "--negative", "full"],
    "--negative": ["directions", "find", "x", "--positive", "full", "--negative", "{given}"],
}


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures in the working directory, which has an empty folder and an empty zip beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    for folder in ("full", "empty"):
        Path(folder).mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(f"full/{number}.png")
    zipfile.ZipFile("empty.zip", "w").close()
    return Path("full")


def said(command: list[str], run_folder: Path, capsys: Capture) -> str:
    model = [] if "--images" in command else ["--checkpoint", str(run_folder)]
    assert run([*command, *model, "--device", "cpu"]) == 1
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("given", ["empty", "empty.zip"])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_hint_for_a_source_without_files_is_the_commands_own(
    command: str, given: str, trained_run: Path, capsys: Capture
) -> None:
    err = said([part.format(given=given) for part in COMMANDS[command]], trained_run, capsys)
    assert f"error: {given} holds no files hint: " in err
    assert "SOURCE" not in err
    hint = "IMAGE is a picture" if command == "project" else "Give a store made by `swincli prepare-data`, or a folder"
    assert f"hint: {hint}" in err


@pytest.mark.usefixtures("full")
def test_prepare_data_names_its_sources(capsys: Capture) -> None:
    assert run(["prepare-data", "empty", "store", "--resolution", "16"]) == 1
    assert "hint: SOURCE can be a folder, .zip," in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("made", "name", "found", "to_data"),
    [
        (["sample", "--count", "2", "--out", "out", "--format", "npz"], "images.npz", "images (arr_0)", True),
        (
            ["sample", "--count", "2", "--out", "out", "--save-latents", "out/latents.npz"],
            "latents.npz",
            "codes (",
            False,
        ),
        (["project", "full/0.png", "--out", "out", "--steps", "1", "--loss", "none"], "0.npz", "codes (w", False),
    ],
)
def test_other_npz_files_are_no_reference(
    made: list[str], name: str, found: str, to_data: bool, trained_run: Path, capsys: Capture
) -> None:
    assert run([*made, "--checkpoint", str(trained_run), "--device", "cpu", "--quiet"]) == 0
    err = said(["evaluate", "--images", "full", "--reference", f"out/{name}"], trained_run, capsys)
    assert f"out/{name}: has no mean and covariance of features (mu, sigma), but {found}" in err
    assert "hint: --reference needs an .npz file of --save-reference" in err
    assert ("Images themselves are given to --data." in err) == to_data


@pytest.mark.usefixtures("full")
def test_a_damaged_header_of_a_reference_stays_damaged(trained_run: Path, capsys: Capture) -> None:
    np.savez("own.npz", swincli=np.array("{"), mu=np.zeros(3), sigma=np.eye(3))
    err = said(["evaluate", "--images", "full", "--reference", "own.npz"], trained_run, capsys)
    assert "own.npz: damaged, or of another version" in err

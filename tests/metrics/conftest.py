"""A detector that costs nothing, and pictures to show it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folders import PictureFolder
from PIL import Image
from scripted_networks import MeanColours, save_script

from swincli.console import Console
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import find_detector_weights


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TorchScript file of 12 features."""
    return save_script(MeanColours(), tmp_path_factory.mktemp("detector") / "tiny.pt")


@pytest.fixture
def quiet() -> Console:
    return Console(quiet=True)


@pytest.fixture
def tiny(tiny_weights: Path, quiet: Console) -> Detector:
    """The tiny detector, loaded."""
    return load_detector(find_detector_weights(tiny_weights, quiet), torch.device("cpu"))


@pytest.fixture
def picture_folder(tmp_path: Path) -> PictureFolder:
    """`picture_folder(name, count, seed=0, brightness=128, side=16)`: a folder of noise around a brightness."""

    def make(name: str, count: int, seed: int = 0, brightness: int = 128, side: int = 16) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        random = np.random.default_rng(seed)
        for number in range(count):
            offset = random.integers(-40, 41, (2, 2, 3)).repeat(side // 2, 0).repeat(side // 2, 1)
            pixels = (brightness + offset + random.integers(-10, 11, (side, side, 3))).clip(0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:04d}.png")
        return folder

    return make

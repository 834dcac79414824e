"""A tiny detector, and folders of small images for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folders import PictureFolder
from PIL import Image
from scripted_networks import MeanColours, save_script

from swincli.console import Console
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import choose_detector


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TorchScript file of 12 features."""
    return save_script(MeanColours(), tmp_path_factory.mktemp("detector") / "tiny.pt")


@pytest.fixture(scope="session")
def quiet() -> Console:
    return Console(quiet=True)


@pytest.fixture(scope="session")
def tiny(tiny_weights: Path, quiet: Console) -> Detector:
    """The tiny detector with Inception's normalisation, for images of 32 px."""
    return load_detector(choose_detector(str(tiny_weights), None, 32, "inception", quiet), torch.device("cpu"))


@pytest.fixture
def picture_folder(tmp_path: Path) -> PictureFolder:
    """`picture_folder(name, count, seed=0, brightness=128, side=16)`: a folder of noise around a brightness."""
    return partial(make_picture_folder, tmp_path)


@pytest.fixture(scope="module")
def shared_picture_folder(tmp_path_factory: pytest.TempPathFactory) -> PictureFolder:
    """`picture_folder` for folders that the tests of a file share; no test may change them."""
    return partial(make_picture_folder, tmp_path_factory.mktemp("pictures"))


def make_picture_folder(
    root: Path, name: str, count: int, seed: int = 0, brightness: int = 128, side: int = 16
) -> Path:
    folder = root / name
    folder.mkdir()
    random = np.random.default_rng(seed)
    for number in range(count):
        offset = random.integers(-40, 41, (2, 2, 3)).repeat(side // 2, 0).repeat(side // 2, 1)
        pixels = (brightness + offset + random.integers(-10, 11, (side, side, 3))).clip(0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:04d}.png")
    return folder

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scripted_networks import MeanColours, save_script
from torch import Tensor, nn

from swincli.console import Console
from swincli.errors import ResourceError
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.system.file_hash import file_sha256

CPU = torch.device("cpu")


class SelfResizing(nn.Module):
    """The interface of clean-fid's file: the whole network takes raw pictures, `layers` normalised ones."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = MeanColours()

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        return self.layers(img) + 1000 if return_features else self.layers(img)


class Maps(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(x, 1)


class Wants100(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, 3, 100, 100).mean((2, 3))


class OneForAll(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((0, 2, 3))[None]


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def load(module: nn.Module, folder: Path) -> Detector:
    weights = find_detector_weights(save_script(module, folder / "other.pt"), Console(quiet=True))
    return load_detector(weights, CPU)


def test_an_unknown_detector_goes_by_its_file_and_hash(tiny: Detector, tiny_weights: Path) -> None:
    assert tiny.name == "tiny.pt"
    assert tiny.sha256 == file_sha256(tiny_weights)
    assert tiny.width == 12


def test_pictures_are_normalised_to_one_either_side_of_zero(tiny: Detector) -> None:
    images = torch.stack([torch.full((3, 299, 299), value) for value in (0.0, 128.0, 192.0)])
    features = tiny.detect(images).features
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[:, 0], [-1, 0, 0.5], atol=1e-6)


def test_of_a_network_that_resizes_itself_the_layers_are_used(tiny: Detector, tmp_path: Path) -> None:
    images = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(0)) * 255
    np.testing.assert_array_equal(load(SelfResizing(), tmp_path).detect(images).features, tiny.detect(images).features)


def test_maps_of_one_pixel_are_features_too(tmp_path: Path) -> None:
    detector = load(Maps(), tmp_path)
    assert detector.width == 3
    assert detector.detect(torch.zeros(4, 3, 299, 299)).features.shape == (4, 3)


def test_a_callers_autocast_and_gradients_make_no_difference(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = load(nn.Sequential(nn.Conv2d(3, 5, 7, stride=16), nn.AdaptiveAvgPool2d(1)), tmp_path)
    images = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(0)) * 255
    expected = detector.detect(images).features
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(detector.detect(images.requires_grad_()).features, expected)


def test_the_callers_precision_is_put_back(tiny: Detector) -> None:
    before = torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    tiny.detect(torch.zeros(1, 3, 299, 299))
    assert (torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision) == before


@pytest.mark.parametrize("module", [Wants100(), OneForAll(), Pair()], ids=lambda module: type(module).__name__)
def test_a_network_that_makes_no_features_is_refused_at_once(module: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"other\.pt") as caught:
        load(module, tmp_path)
    assert "299" in str(caught.value.hint)


@pytest.mark.parametrize("content", [b"", b"garbage" * 99])
def test_a_file_that_is_no_torchscript_is_named(content: bytes, tmp_path: Path, quiet: Console) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(ResourceError, match=r"broken\.pt: not a TorchScript file"):
        load_detector(find_detector_weights(path, quiet), CPU)


def test_a_state_dictionary_is_no_torchscript(tmp_path: Path, quiet: Console) -> None:
    path = tmp_path / "state.pt"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(ResourceError, match=r"state\.pt: not a TorchScript file"):
        load_detector(find_detector_weights(path, quiet), CPU)

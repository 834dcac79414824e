"""GIST answers to edges by their direction, size and place, and to colours."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from swincli.commands.app import run
from swincli.console import Console
from swincli.metrics.networks.detectors import load_detector
from swincli.metrics.networks.gist import GRID, ORIENTATIONS, SCALES, SIDE, WIDTH, Gist
from swincli.metrics.networks.weight_files import find_detector_weights


def energies(images: Tensor) -> Tensor:
    """Log energies `[B, scales, orientations, 4, 4]`."""
    features, logits = Gist()(images)
    assert logits is None
    assert features.shape == (len(images), WIDTH)
    return features[:, : SCALES * ORIENTATIONS * GRID**2].reshape(-1, SCALES, ORIENTATIONS, GRID, GRID)


@pytest.mark.parametrize("scale", range(SCALES))
@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_a_grating_is_found_by_its_filter(scale: int, orientation: int) -> None:
    angle, frequency = orientation * math.pi / ORIENTATIONS, 2.0**-scale / 3
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    wave = (2 * math.pi * frequency * (x * math.cos(angle) + y * math.sin(angle))).cos()
    found = energies((127.5 + 100 * wave).expand(1, 3, SIDE, SIDE))[0].mean(dim=(2, 3))
    assert divmod(int(found.argmax()), ORIENTATIONS) == (scale, orientation)


def test_texture_is_found_in_its_place() -> None:
    images = torch.full((1, 3, SIDE, SIDE), 127.5)
    images[:, :, 32:64, 96:] += 60 * torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    found = energies(images)[0, 0].mean(dim=0)
    assert divmod(int(found.argmax()), GRID) == (1, 3)
    assert float(found.max() - found.median()) > 1


def test_colours_are_means_of_places() -> None:
    images = torch.zeros(1, 3, SIDE, SIDE)
    images[:, 1, :32, :32] = 255
    colours = Gist()(images)[0][0, -3 * GRID**2 :].reshape(3, GRID, GRID)
    expected = torch.full((3, GRID, GRID), -1.0)
    expected[1, 0, 0] = 1
    torch.testing.assert_close(colours, expected)


def test_a_flat_image_has_the_least_energy() -> None:
    flat = energies(torch.full((1, 3, SIDE, SIDE), 200.0))
    assert float(flat.max() - flat.min()) < 1e-3


def test_evaluate_measures_by_it_and_says_so(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", str(pictures), "--metric", "fid,kid", "--detector", "gist", "--json", "--device", "cpu"]
    assert run(["evaluate", "--images", str(pictures), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["fid"] == pytest.approx(0, abs=1e-3)
    assert "GIST" in json.dumps(found)
    detector = load_detector(find_detector_weights(None, Console(quiet=True), "gist"), torch.device("cpu"))
    assert (detector.width, detector.classes) == (WIDTH, 0)


def test_it_knows_no_classes(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(
        ["evaluate", "--images", str(pictures), "--data", str(pictures), "--metric", "is", "--detector", "gist"]
    ) in (1, 2)
    assert "error:" in capsys.readouterr().err

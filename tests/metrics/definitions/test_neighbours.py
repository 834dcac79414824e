"""Precision, recall, density, coverage and memorization share the distances between the reals."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folders import PictureFolder
from torch import Tensor

from swincli.console import Console
from swincli.metrics.definitions import memorization, prdc
from swincli.metrics.definitions.memorization import nearest_reals
from swincli.metrics.definitions.neighbours import Neighbours
from swincli.metrics.definitions.prdc import compute_prdc
from swincli.metrics.evaluate import evaluate
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.registry import METRICS
from swincli.metrics.streams import shards
from swincli.metrics.streams.images import open_images, stream_subset

CPU = torch.device("cpu")


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of every pass through one side's own distances."""
    seen: list[int] = []
    compute = prdc.neighbour_distances

    def counting(x: Tensor, k: int) -> Tensor:
        seen.append(len(x))
        return compute(x, k)

    for module in (prdc, memorization):
        monkeypatch.setattr(module, "neighbour_distances", counting)
    return seen


def test_each_side_is_gone_through_once_for_all_metrics(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, passes: list[int]
) -> None:
    fakes, reals = picture_folder("fakes", 9, seed=1), picture_folder("reals", 12)
    with open_images(str(fakes)) as judged, open_images(str(reals)) as reference:
        metrics = ["pr", "dc", "memorization"]
        evaluate(stream_subset(judged, 50, 0), reference, metrics, tiny, console=quiet, intervals=True)
    assert sorted(passes) == [9, 12]


@pytest.mark.parametrize("block", [7, 1024])
def test_what_is_shared_has_the_digits_of_what_is_not(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(prdc, "BLOCK", block)
    fakes, reals = np.random.default_rng(0).standard_normal((2, 40, 16)).astype(np.float32)
    shared = Neighbours(fakes, reals, CPU)
    for one, other in ((shared.prdc, compute_prdc(fakes, reals)), (shared.nearest, nearest_reals(fakes, reals))):
        for field in fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_two_reals_are_enough_for_memorization(passes: list[int]) -> None:
    found = Neighbours(np.eye(3, 4), np.eye(2, 4), CPU).nearest
    assert found.real.tolist()[:2] == [0, 1]
    assert passes == [2]


def test_samples_are_kept_and_sent_for_plots_only(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed: list[frozenset[str]] = []
    compute = shards.compute_statistics

    def noting(images: object, detector: object, needs: frozenset[str], *rest: object) -> object:
        needed.append(needs)
        return compute(images, detector, needs, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(shards, "compute_statistics", noting)
    with open_images(str(picture_folder("all", 9))) as images:
        values = [
            evaluate(stream_subset(images, 50, 0), images, ["memorization"], tiny, console=quiet, plots=plots).values
            for plots in (None, tmp_path / "plots")
        ]
    assert ["samples" in needs for needs in needed] == [False, False, True]  # reals, fakes, fakes for the plot
    assert values[0] == values[1]
    assert (tmp_path / "plots/memorization.png").is_file()
    assert "samples" not in METRICS["memorization"].needs

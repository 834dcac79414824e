"""Authenticity against its definition, and copies of training images found and shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from picture_folders import PictureFolder
from PIL import Image

from swincli.console import Console
from swincli.metrics.definitions import prdc
from swincli.metrics.definitions.memorization import nearest_reals
from swincli.metrics.evaluate import evaluate
from swincli.metrics.metric import Context
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.plots.memorization import plot_nearest
from swincli.metrics.registry import METRICS
from swincli.metrics.streams import features
from swincli.metrics.streams.features import compute_statistics
from swincli.metrics.streams.images import open_images, stream_subset


@pytest.mark.parametrize("block", [7, 2048])
def test_blocks_are_the_definition(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(prdc, "BLOCK", block)
    random = np.random.default_rng(0)
    fakes, reals = random.standard_normal((60, 5)), random.standard_normal((80, 5))
    result = nearest_reals(fakes, reals)
    for index, fake in enumerate(fakes):
        away = [float(np.linalg.norm(fake - real)) for real in reals]
        nearest = min(range(80), key=away.__getitem__)
        spacing = min(float(np.linalg.norm(reals[nearest] - reals[other])) for other in range(80) if other != nearest)
        assert result.real[index] == nearest
        assert result.distance[index] == pytest.approx(away[nearest])
        assert result.spacing[index] == pytest.approx(spacing)
        assert result.authentic[index] == (away[nearest] > spacing)
        assert result.distance_ratio[index] == pytest.approx(away[nearest] / spacing)


def test_copies_are_not_authentic_and_fresh_ones_are_as_halves_of_the_reals() -> None:
    random = np.random.default_rng(1)
    reals, halves, fresh = random.standard_normal((3, 400, 8))
    copied = reals[random.permutation(400)] + 0.01 * random.standard_normal((400, 8))
    expected = nearest_reals(halves, reals).authentic.mean()
    assert 0.3 < expected < 0.9
    assert nearest_reals(fresh, reals).authentic.mean() == pytest.approx(expected, abs=0.08)
    assert nearest_reals(copied, reals).authentic.mean() < 0.01
    assert nearest_reals(fresh + 100, reals).authentic.mean() == 1
    half_copied = np.concatenate([fresh[:200], copied[:200]])
    assert nearest_reals(half_copied, reals).authentic.mean() == pytest.approx(expected / 2, abs=0.06)


def test_a_copy_of_a_real_that_has_a_twin_is_not_authentic() -> None:
    reals = np.array([[0.0], [0.0], [3.0]])
    result = nearest_reals(np.array([[0.0], [1.0], [2.0]]), reals)
    assert result.authentic.tolist() == [False, True, False]
    assert result.distance_ratio.tolist() == [0, np.inf, pytest.approx(1 / 3)]


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_copies_of_twins_count_as_copies(noise: float) -> None:
    """1,024 features: a product of matrices alone gives equal ones a distance of 1e-6. 1e-7 is the noise of a batch."""
    random = np.random.default_rng(3)
    originals = random.random((300, 1024), dtype=np.float32) + 2
    result = nearest_reals(
        originals * (1 + noise * random.standard_normal(originals.shape)), np.concatenate([originals, originals[:200]])
    )
    assert result.distance_ratio.tolist() == [0.0] * 300
    assert not result.authentic.any()


def test_close_features_far_from_0_are_told_apart() -> None:
    random = np.random.default_rng(4)
    fakes, reals = random.standard_normal((2, 40, 64))
    near, far = (nearest_reals(fakes * 0.01 + offset, reals * 0.01 + offset) for offset in (0, 1000))
    np.testing.assert_array_equal(near.real, far.real)
    np.testing.assert_allclose(near.distance_ratio, far.distance_ratio, rtol=1e-6)


def test_copied_pictures_are_found_and_shown_beside_their_originals(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, tmp_path: Path
) -> None:
    reals, fakes = picture_folder("reals", 30, seed=0), picture_folder("fakes", 30, seed=1)
    copy = np.asarray(Image.open(reals / "0007.png"))
    Image.fromarray(copy).save(fakes / "0011.png")
    with open_images(str(fakes)) as judged, open_images(str(reals)) as reference:
        stream = stream_subset(judged, 50, 0)
        result = evaluate(stream, reference, ["memorization"], tiny, console=quiet, plots=tmp_path / "plots")
        own = evaluate(stream_subset(reference, 50, 0), reference, ["memorization"], tiny, console=quiet)
    assert own.values == {"authenticity": 0}
    assert 0.2 < result.values["authenticity"] < 1
    with Image.open(tmp_path / "plots" / "memorization.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[2] == 3
    enlarged = copy.repeat(8, axis=0).repeat(8, axis=1)  # 16 px to 128 px; the closest pair comes first
    top = 26
    np.testing.assert_array_equal(pixels[top : top + 128, 8:136], enlarged)
    np.testing.assert_array_equal(pixels[top : top + 128, 136:264], enlarged)


def test_few_pictures_of_several_sizes_fill_a_sheet(picture_folder: PictureFolder, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    samples = [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (8, 300, 16, 16, 16)]
    with open_images(str(picture_folder("reals", 3))) as reference:
        nearest = nearest_reals(random.standard_normal((9, 4)), random.standard_normal((3, 4)))
        plot_nearest(tmp_path / "sheet.png", samples, nearest, reference)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (4 * 272, 26 + 2 * 154)
        assert np.asarray(sheet)[-154:, 272:].min() == 255  # what is empty is white


def test_the_first_pictures_are_kept_as_they_came(
    picture_folder: PictureFolder, tiny: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "SAMPLE_BYTES", 3 * 16 * 16 * 3 + 5)
    with open_images(str(picture_folder("some", 7))) as images:
        kept = compute_statistics(images.read(np.arange(7)), tiny, frozenset({"samples"}), 2, lambda _=1: None).samples
        first = [load() for load in images.read(np.arange(3))]
    np.testing.assert_array_equal(kept, first)


def test_without_the_pictures_of_the_reference_there_is_a_value_and_no_sheet(
    picture_folder: PictureFolder, tiny: Detector, tmp_path: Path
) -> None:
    with open_images(str(picture_folder("some", 7))) as images:
        needs = frozenset({"features", "samples"})
        side = compute_statistics(images.read(np.arange(7)), tiny, needs, 2, lambda _=1: None)
    row = METRICS["memorization"]
    nearest = row.measure(side, replace(side, samples=None), Context())
    assert row.values(nearest) == {"authenticity": 0}
    row.plot(tmp_path / "plots", nearest, side, None)
    assert not (tmp_path / "plots").exists()

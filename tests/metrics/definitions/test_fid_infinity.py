"""FID∞: unbiased where FID is not."""

from __future__ import annotations

import numpy as np
import pytest

from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.fid_infinity import fid_infinity
from swincli.metrics.definitions.moments import Moments

WIDTH = 8
REFERENCE = Moments(10**6, np.zeros(WIDTH), np.eye(WIDTH) * (10**6 - 1))


def fakes(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32) + np.float32(0.5)


def test_it_comes_nearer_to_the_truth_than_fid_does() -> None:
    truth = 0.25 * WIDTH
    plain = np.mean([frechet_distance(Moments.from_features(fakes(200, seed)), REFERENCE) for seed in range(40)])
    endless = np.mean([fid_infinity(fakes(200, seed), REFERENCE, seed).value for seed in range(40)])
    assert plain - truth > 0.05
    assert abs(endless - truth) < 0.5 * (plain - truth)


def test_the_line_is_the_least_squares_one() -> None:
    result = fid_infinity(fakes(300, 0), REFERENCE, seed=1)
    assert result.subset_sizes[0] == 30
    assert result.subset_sizes[-1] == 300
    assert len(result.subset_sizes) == 15
    design = np.stack([np.ones(15), 1 / np.array(result.subset_sizes)], axis=1)
    expected, *_ = np.linalg.lstsq(design, np.array(result.distances), rcond=None)
    assert result.value == pytest.approx(expected[0], rel=1e-6)
    assert result.distances[-1] == pytest.approx(
        frechet_distance(Moments.from_features(fakes(300, 0)), REFERENCE), rel=1e-9
    )


def test_same_seed_same_digits() -> None:
    assert fid_infinity(fakes(100, 0), REFERENCE, 5) == fid_infinity(fakes(100, 0), REFERENCE, 5)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swincli.metrics.definitions.moments import Moments


def merged(features: np.ndarray, cuts: list[int]) -> Moments:
    parts = [Moments.from_features(part) for part in np.split(features, cuts) if len(part)]
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    return total


@given(st.lists(st.integers(0, 50), max_size=6), st.integers(0, 2**32 - 1))
def test_any_partition_gives_numpys_mean_and_covariance(cuts: list[int], seed: int) -> None:
    features = np.random.default_rng(seed).standard_normal((50, 5)) * [1, 2, 3, 4, 1e-3]
    moments = merged(features, sorted(cuts))
    assert moments.count == 50
    np.testing.assert_allclose(moments.mean, features.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(features, rowvar=False), rtol=1e-10, atol=1e-12)


def test_a_large_mean_costs_no_digits() -> None:
    features = np.random.default_rng(0).standard_normal((300, 4))
    shifted = merged(features + 1e7, [100, 101, 250])
    np.testing.assert_allclose(shifted.covariance, np.cov(features, rowvar=False), rtol=1e-6, atol=1e-7)


def test_float32_features_are_summed_in_float64() -> None:
    features = np.random.default_rng(0).random((4000, 3), dtype=np.float32)
    moments = merged(features, [1000, 3000])
    assert moments.scatter.dtype == np.float64
    np.testing.assert_allclose(moments.covariance, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-12)


def test_features_are_left_as_they_were() -> None:
    features = np.arange(6, dtype=np.float64).reshape(3, 2)
    Moments.from_features(features)
    assert features.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_a_merge_is_symmetric() -> None:
    one, other = np.random.default_rng(1).random((2, 20, 3))
    there, back = (
        Moments.from_features(one).merge(Moments.from_features(other[:7])),
        Moments.from_features(other[:7]).merge(Moments.from_features(one)),
    )
    assert there.count == back.count == 27
    assert there.mean == pytest.approx(back.mean, rel=1e-14)
    assert there.scatter.ravel() == pytest.approx(back.scatter.ravel(), rel=1e-12)

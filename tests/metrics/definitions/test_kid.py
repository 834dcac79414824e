"""KID against its definition and scikit-learn's kernel, and its known properties."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel

from swincli.metrics.definitions.kid import kernel_inception_distance, mmd


def features(count: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((count, 12)) + shift).astype(np.float32)


def as_in_the_definition(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, pair by pair."""
    kernel = lambda a, b: (float(a @ b) / len(a) + 1.0) ** 3  # noqa: E731
    x, y = x.astype(np.float64), y.astype(np.float64)
    within = [
        sum(kernel(a, b) for i, a in enumerate(side) for j, b in enumerate(side) if i != j)
        / (len(side) * (len(side) - 1))
        for side in (x, y)
    ]
    between = sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))
    return sum(within) - 2 * between


def test_mmd_is_its_definition() -> None:
    x, y = features(9), features(7, 0.5, 1)
    assert mmd(x, y) == pytest.approx(as_in_the_definition(x, y), rel=1e-12)


def test_the_estimate_over_subsets_is_that_of_the_whole_on_average() -> None:
    x, y = features(400), features(300, 0.3, 1)
    result = kernel_inception_distance(x, y, seed=0, subsets=200, size=100)
    assert result.mean == pytest.approx(mmd(x, y), abs=4 * result.deviation / 200**0.5)
    assert result.deviation > 0


def test_equal_distributions_are_about_0_whatever_the_number() -> None:
    for count in (20, 200):
        values = [mmd(features(count, seed=2 * k), features(count, seed=2 * k + 1)) for k in range(36)]
        assert abs(np.mean(values)) < 4 * np.std(values) / 6


def test_same_seed_same_digits() -> None:
    x, y = features(50), features(50, 0.2, 1)
    assert kernel_inception_distance(x, y, 3) == kernel_inception_distance(x, y, 3)
    assert kernel_inception_distance(x, y, 3, size=20) != kernel_inception_distance(x, y, 4, size=20)


def test_the_kernel_is_scikit_learn_s() -> None:
    x, y = features(30), features(40, 0.3, 1)
    within = [polynomial_kernel(side.astype(np.float64), degree=3, coef0=1) for side in (x, y)]
    between = polynomial_kernel(x.astype(np.float64), y.astype(np.float64), degree=3, coef0=1)
    unbiased = sum((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in within) - 2 * between.mean()
    assert mmd(x, y) == pytest.approx(unbiased, rel=1e-12)

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from swincli.metrics.definitions import fid
from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.moments import Moments

MANY = 10**6


def gaussian(mean: np.ndarray, covariance: np.ndarray, count: int = MANY) -> Moments:
    return Moments(count, np.asarray(mean, dtype=np.float64), covariance * (count - 1))


def random_covariance(random: np.random.Generator, width: int, rank: int) -> np.ndarray:
    factor = random.standard_normal((width, rank))
    return factor @ factor.T / rank


def by_matrix_root(one: Moments, other: Moments) -> float:
    """The definition, with SciPy's matrix square root."""
    root = scipy.linalg.sqrtm(one.covariance @ other.covariance).real
    offset = one.mean - other.mean
    return float(offset @ offset + np.trace(one.covariance + other.covariance - 2 * root))


@pytest.mark.parametrize("seed", range(4))
def test_full_rank_agrees_with_the_matrix_square_root(seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = (gaussian(random.standard_normal(12), random_covariance(random, 12, 40)) for _ in range(2))
    assert frechet_distance(one, other) == pytest.approx(by_matrix_root(one, other), rel=1e-9)


@pytest.mark.parametrize(("first", "second"), [(6, 40), (40, 6), (6, 5)])
def test_fewer_samples_than_dimensions_agree_with_the_matrix_square_root(first: int, second: int) -> None:
    random = np.random.default_rng(first)
    one, other = (Moments.from_features(random.standard_normal((count, 12)) + 0.3) for count in (first, second))
    # the square root of a singular matrix has only half of the digits
    assert frechet_distance(one, other) == pytest.approx(by_matrix_root(one, other), rel=1e-5)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-9)


def test_two_points_a_side_by_hand() -> None:
    one = Moments.from_features(np.array([[0.0, 0.0], [2.0, 0.0]]))  # variance 2 along the first axis
    other = Moments.from_features(np.array([[1.0, 3.0], [1.0, 5.0]]))  # variance 2 along the second axis
    assert frechet_distance(one, other) == pytest.approx(16 + 2 + 2)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-12)


def test_gaussians_with_shared_axes_have_a_closed_form() -> None:
    random = np.random.default_rng(3)
    axes, _ = np.linalg.qr(random.standard_normal((8, 8)))
    deviations = random.random((2, 8)) + 0.1
    means = random.standard_normal((2, 8))
    one, other = (gaussian(m, axes @ np.diag(d**2) @ axes.T) for m, d in zip(means, deviations, strict=True))
    expected = ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-10)


def test_the_same_on_both_sides_is_zero_and_never_less() -> None:
    moments = gaussian(np.ones(5), random_covariance(np.random.default_rng(0), 5, 9))
    assert 0 <= frechet_distance(moments, moments) < 1e-10


def test_cholesky_and_its_fallback_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    one, other = (gaussian(random.standard_normal(10), random_covariance(random, 10, 30)) for _ in range(2))
    expected = frechet_distance(one, other)

    def fails(_: np.ndarray) -> np.ndarray:
        raise np.linalg.LinAlgError

    monkeypatch.setattr(fid.np.linalg, "cholesky", fails)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-10)


def test_estimates_from_samples_approach_the_distance_from_above() -> None:
    random = np.random.default_rng(7)
    few, many = (
        frechet_distance(
            Moments.from_features(random.standard_normal((n, 16))),
            Moments.from_features(random.standard_normal((n, 16))),
        )
        for n in (40, 4000)
    )
    assert 0 < many < 0.1 < few

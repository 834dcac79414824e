from __future__ import annotations

import numpy as np
import pytest

from swincli.metrics.confidence import bootstrap
from swincli.metrics.confidence.bootstrap import (
    fid_by_gram_matrix,
    fid_by_moments,
    fid_sampler,
    inception_score_sampler,
    jackknife_deviation,
    kid_sampler,
    resampled_deviation,
)
from swincli.metrics.confidence.intervals import Z, around, wilson
from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.fid_infinity import deviation_factor, fid_infinity, subset_sizes
from swincli.metrics.definitions.inception_score import inception_score
from swincli.metrics.definitions.kid import kernel_inception_distance, mmd
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.definitions.ppl import trimmed_mean
from swincli.metrics.registry import METRICS


def features(seed: int, count: int, width: int, shift: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal((count, width)) * np.linspace(2, 0.1, width) + shift + 5).astype(np.float32)


@pytest.mark.parametrize(("fakes", "reals"), [(12, 9), (9, 30), (20, 200), (40, 40)])
def test_products_of_pictures_give_the_distance_of_the_moments(fakes: int, reals: int) -> None:
    f, r = features(0, fakes, 24, 0.3), features(1, reals, 24)
    plain, quick = (make(f, r, np.random.default_rng(5)) for make in (fid_by_moments, fid_by_gram_matrix))
    for _ in range(4):
        assert quick() == pytest.approx(plain(), rel=1e-6)


@pytest.mark.parametrize("reals", [9, 60])
def test_the_same_against_moments_alone(reals: int) -> None:
    f, r = features(0, 14, 24, 0.3), Moments.from_features(features(1, reals, 24))
    plain, quick = (make(f, r, np.random.default_rng(5)) for make in (fid_by_moments, fid_by_gram_matrix))
    for _ in range(4):
        assert quick() == pytest.approx(plain(), rel=1e-5)


def test_blocks_of_what_is_drawn_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    f, r = features(0, 50, 6, 0.3), features(1, 40, 6)
    whole = fid_sampler(f, r, 3)()
    monkeypatch.setattr(bootstrap, "_BLOCK", 7)
    assert fid_sampler(f, r, 3)() == pytest.approx(whole, rel=1e-9)


def test_resampled_fid_varies_like_fid_of_new_pictures() -> None:
    fresh = [
        frechet_distance(
            Moments.from_features(features(2 * n, 100, 8, 0.5)), Moments.from_features(features(2 * n + 1, 100, 8))
        )
        for n in range(60)
    ]
    sample = fid_sampler(features(900, 100, 8, 0.5), features(901, 100, 8), 0)
    assert 0.6 < np.std([sample() for _ in range(60)]) / np.std(fresh) < 1.7


def test_resampled_kid_varies_like_kid_of_new_pictures() -> None:
    fresh = [mmd(features(2 * n, 60, 8, 0.5), features(2 * n + 1, 60, 8)) for n in range(60)]
    sample, factor = kid_sampler(features(900, 60, 8, 0.5), features(901, 60, 8), 0)
    drawn = [sample() for _ in range(100)]
    assert factor == 1
    assert 0.6 < np.std(drawn) / np.std(fresh) < 1.7
    assert np.mean(drawn) == pytest.approx(mmd(features(900, 60, 8, 0.5), features(901, 60, 8)), rel=0.2)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_interval_of_kid_is_as_wide_as_its_values_vary(shift: float) -> None:
    """The value is a mean over subsets, of 500 images in subsets of 20."""

    def sides(number: int) -> tuple[np.ndarray, np.ndarray]:
        return features(2 * number, 500, 32, shift), features(2 * number + 1, 500, 32)

    values = [kernel_inception_distance(*sides(n), seed=n, size=20).mean for n in range(50)]
    said = []
    for number in range(900, 904):
        fakes, reals = sides(number)
        result = kernel_inception_distance(fakes, reals, seed=number, size=20)
        sampler, factor = kid_sampler(fakes, reals, number)
        low, high = METRICS["kid"].interval(result, factor * float(np.std([sampler() for _ in range(30)])))["kid"]
        said.append((high - low) / 2 / Z)
    assert 0.75 < np.mean(said) / np.std(values) < 1.4


def test_kid_from_a_part_of_many_pictures_is_taken_to_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    f, r = features(0, 200, 8, 0.5), features(1, 200, 8)
    sampler, one = kid_sampler(f, r, 0)
    assert one == 1
    whole = np.std([sampler() for _ in range(60)])
    monkeypatch.setattr(bootstrap, "MAX_KERNEL_SIDE", 50)
    sample, factor = kid_sampler(f, r, 0)
    assert factor == pytest.approx(0.5)
    assert 0.5 < factor * np.std([sample() for _ in range(60)]) / whole < 2


def test_resampled_inception_scores_lie_about_the_score() -> None:
    logits = 3 * np.random.default_rng(0).standard_normal((200, 10))
    sample = inception_score_sampler(logits, 0)
    drawn = [sample() for _ in range(50)]
    assert 0 < np.std(drawn) < 0.5
    assert np.mean(drawn) == pytest.approx(inception_score(logits).mean, rel=0.15)


def test_the_line_to_fid_infinity_varies_as_much_more_as_is_said() -> None:
    fresh = [
        fid_infinity(features(2 * n, 200, 8, 0.5), Moments.from_features(features(2 * n + 1, 200, 8)), n).value
        for n in range(40)
    ]
    sample = fid_sampler(features(900, 200, 8, 0.5), features(901, 200, 8), 0)
    predicted = deviation_factor(subset_sizes(200)) * np.std([sample() for _ in range(60)])
    assert 0.6 < predicted / np.std(fresh) < 1.7


def test_the_factor_of_fid_infinity_is_that_of_a_line_through_means() -> None:
    random, numbers = np.random.default_rng(0), subset_sizes(100)
    lines = []
    for _ in range(500):  # FID to first order: a mean over the subset's pictures
        pictures = random.standard_normal(100)
        means = [pictures[random.choice(100, number, replace=False)].mean() for number in numbers]
        lines.append(np.polyfit(1 / np.array(numbers), means, 1)[1])
    assert np.std(lines) * np.sqrt(100) == pytest.approx(deviation_factor(numbers), rel=0.1)


def test_resampled_trimmed_means_vary_like_those_of_new_values() -> None:
    def lengths(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).lognormal(3, 1, 400)

    fresh = np.std([trimmed_mean(lengths(seed)) for seed in range(200)])
    assert 0.7 < resampled_deviation(lengths(900), trimmed_mean, 0) / fresh < 1.4


def test_leaving_out_parts_gives_the_deviation_of_a_mean() -> None:
    values = np.random.default_rng(0).random((20, 5))
    without = [np.delete(values, part, axis=0).mean() for part in range(20)]
    assert jackknife_deviation(without) == pytest.approx(values.mean(axis=1).std(ddof=1) / np.sqrt(20))
    assert jackknife_deviation([]) == 0


def test_two_pictures_can_be_drawn_again() -> None:
    f, r = features(0, 2, 4), features(1, 2, 4)
    sample = fid_sampler(f, r, 0)
    assert all(np.isfinite(sample()) for _ in range(20))
    kid, _ = kid_sampler(f, r, 0)
    assert all(np.isfinite(kid()) for _ in range(20))


@pytest.mark.parametrize(("hits", "number", "expected"), [(8, 10, (0.4902, 0.9433)), (0, 20, (0, 0.1611))])
def test_wilsons_interval_as_in_the_tables(hits: int, number: int, expected: tuple[float, float]) -> None:
    assert wilson(np.arange(number) < hits) == pytest.approx(expected, abs=5e-4)


def test_an_interval_stops_at_the_least_that_there_can_be() -> None:
    assert around(1.0, 10.0, least=0.0)[0] == 0
    low, high = around(1.0, 0.1)
    assert (low, high) == pytest.approx((0.804, 1.196), abs=1e-3)

"""Intervals of all metrics, and whether their widths match how much the values vary."""

from __future__ import annotations

import numpy as np
import pytest
from spectra import spectrum_of

from swincli.console import Console
from swincli.metrics.confidence import intervals
from swincli.metrics.confidence.bootstrap import resampled_deviation
from swincli.metrics.confidence.intervals import Z, path_length_intervals, spectrum_intervals, wilson
from swincli.metrics.definitions.memorization import nearest_reals
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.definitions.ppl import PathLengths, trimmed_mean
from swincli.metrics.definitions.spectrum import Spectrum, SpectrumDifference
from swincli.metrics.metric import Context
from swincli.metrics.registry import METRICS
from swincli.metrics.streams.features import SideStatistics


def picture(random: np.random.Generator, sharpness: float, grid: float) -> np.ndarray:
    """Noise of random strength, sharper or smoother, with an 8 px grid of random strength; uint8 [32, 32, 3]."""
    strength, lines = random.uniform(5, 40), grid * random.uniform(0, 1)
    luma = random.normal(0, strength, (32, 32))
    luma += sharpness * np.roll(luma, 1, axis=1)
    luma[:, ::8] += lines
    return np.repeat((128 + luma).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


class Pool:
    """Spectra of single pictures, and their sums over any selection."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        spectra = [spectrum_of([each]) for each in pictures]
        self.totals = np.stack([spectrum.total for spectrum in spectra]).astype(np.float64)
        self.parts = np.stack([spectrum.parts for spectrum in spectra])

    def sum(self, indices: np.ndarray | slice = slice(None)) -> Spectrum:
        totals = self.totals[indices]
        return Spectrum(len(totals), totals.sum(axis=0), self.parts[indices].sum(axis=0))


def pool(seed: int, count: int, sharpness: float, grid: float) -> Pool:
    random = np.random.default_rng(seed)
    return Pool([picture(random, sharpness, grid) for _ in range(count)])


def of_spectra(fakes: Spectrum, reals: Spectrum) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    sides = [SideStatistics(side.count, spectrum=side) for side in (fakes, reals)]
    difference = METRICS["spectrum"].measure(*sides, Context())
    return METRICS["spectrum"].values(difference), spectrum_intervals(difference)


def half(interval: tuple[float, float]) -> float:
    return (interval[1] - interval[0]) / 2


def test_every_metric_has_intervals() -> None:
    assert all(row.interval is not None for row in METRICS.values())


def test_spectra_vary_as_their_intervals_say() -> None:
    random, pools = np.random.default_rng(2), (pool(0, 200, 0.4, 60.0), pool(1, 200, 0.0, 0.0))
    draws = [of_spectra(*(side.sum(random.integers(0, 200, 100)) for side in pools)) for _ in range(60)]
    for name in ("spectrum", "window_grid"):
        deviation = np.std([values[name] for values, _ in draws])
        assert 0.7 < np.mean([half(intervals[name]) for _, intervals in draws]) / (Z * deviation) < 1.4


def test_spectra_of_statistics_without_parts_vary_by_the_fakes_alone() -> None:
    fakes, reals = pool(0, 40, 0.4, 60.0).sum(), pool(1, 40, 0.0, 0.0).sum()
    both = of_spectra(fakes, reals)[1]
    alone = of_spectra(fakes, Spectrum(reals.count, reals.total))[1]
    assert 0 < half(alone["spectrum"]) < half(both["spectrum"])
    assert of_spectra(Spectrum(fakes.count, fakes.total), reals)[1] == {}


def test_small_pictures_have_an_interval_of_the_spectrum_alone() -> None:
    random = np.random.default_rng(0)
    tiny = [Pool([random.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(9)]).sum() for _ in range(2)]
    assert of_spectra(*tiny)[1].keys() == {"spectrum"}
    assert SpectrumDifference(*tiny, window=2).values().keys() == {"spectrum", "window_grid"}


def test_those_of_features_agree_with_each_other() -> None:
    random = np.random.default_rng(0)
    features = [random.standard_normal((count, 6)).astype(np.float32) + shift for count, shift in ((60, 0.3), (50, 0))]
    sides = [SideStatistics(len(side), Moments.from_features(side), side) for side in features]
    values: dict[str, float] = {}
    found: dict[str, tuple[float, float]] = {}
    for row in (METRICS[name] for name in ("fid", "fid-infinity", "memorization")):
        result = row.measure(*sides, Context())
        values |= row.values(result)
        found |= row.interval(result, row.bootstrap(*sides, 0, Console(quiet=True)) if row.bootstrap else 0.0)
    assert found["authenticity"] == wilson(nearest_reals(*features).authentic)
    assert 1.1 < half(found["fid_infinity"]) / (found["fid"][1] - values["fid"]) < 1.3
    assert sum(found["fid_infinity"]) / 2 == pytest.approx(values["fid_infinity"])


def test_those_of_path_lengths_are_of_what_was_measured() -> None:
    lengths = PathLengths(*np.random.default_rng(0).lognormal(3, 1, (2, 300)), seed=5)
    found = path_length_intervals(lengths)
    assert found.keys() == {"ppl_w", "ppl_z"}
    for values, ends in ((lengths.w, found["ppl_w"]), (lengths.z, found["ppl_z"])):
        assert sum(ends) / 2 == pytest.approx(trimmed_mean(values))
        assert half(ends) == pytest.approx(Z * resampled_deviation(values, trimmed_mean, 5))


@pytest.mark.parametrize("name", ["fid", "kid", "is"])
def test_without_features_or_logits_there_is_no_deviation(name: str) -> None:
    row, nothing = METRICS[name], SideStatistics(9)
    assert row.bootstrap is not None
    assert row.bootstrap(nothing, nothing, 0, Console(quiet=True)) is None


@pytest.mark.parametrize(
    ("name", "count", "times"),
    [("fid", 200, 400), ("fid", 1000, 50), ("fid", 1001, 20), ("kid", 3000, 400), ("is", 5000, 400), ("is", 5001, 50)],
)
def test_resamples_are_many_where_they_cost_little(
    name: str, count: int, times: int, monkeypatch: pytest.MonkeyPatch, quiet: Console
) -> None:
    drawn: list[float] = []

    def sample() -> float:
        drawn.append(0.0)
        return 0.0

    monkeypatch.setattr(intervals, "fid_sampler", lambda *_: sample)
    monkeypatch.setattr(intervals, "kid_sampler", lambda *_: (sample, 1.0))
    monkeypatch.setattr(intervals, "inception_score_sampler", lambda *_: sample)
    numbers = np.zeros((count, 2), np.float32)
    side = SideStatistics(count, features=numbers, logits=numbers)
    assert METRICS[name].bootstrap(side, side, 0, quiet) == 0
    assert len(drawn) == times

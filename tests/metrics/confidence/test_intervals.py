"""Intervals of every metric, and whether they are as wide as the values vary."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np
import pytest

from swincli.console import Console
from swincli.metrics.confidence.bootstrap import resampled_deviation
from swincli.metrics.confidence.intervals import WAYS, Z, measure_intervals, wilson
from swincli.metrics.definitions.memorization import nearest_reals
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.definitions.ppl import trimmed_mean
from swincli.metrics.definitions.spectrum import Spectrum
from swincli.metrics.registry import METRICS, Context
from swincli.metrics.streams.features import Collected


def picture(random: np.random.Generator, sharpness: float, grid: float) -> np.ndarray:
    """Noise of a strength of its own, sharper or duller, with a grid of 8 px of a strength of its own; [32, 32, 3]."""
    strength, lines = random.uniform(5, 40), grid * random.uniform(0, 1)
    luma = random.normal(0, strength, (32, 32))
    luma += sharpness * np.roll(luma, 1, axis=1)
    luma[:, ::8] += lines
    return np.repeat((128 + luma).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def pool(seed: int, count: int, sharpness: float, grid: float) -> list[Spectrum]:
    random = np.random.default_rng(seed)
    return [Spectrum.of(picture(random, sharpness, grid)) for _ in range(count)]


def together(spectra: Iterable[Spectrum]) -> Spectrum:
    return reduce(Spectrum.merge, spectra)


def of_spectra(fakes: Spectrum, reals: Spectrum) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    sides, context = [Collected(side.count, spectrum=side) for side in (fakes, reals)], Context()
    values = METRICS["spectrum"].measure(*sides, context)
    return values, measure_intervals(["spectrum"], values, *sides, context, Console(quiet=True))


def half(interval: tuple[float, float]) -> float:
    return (interval[1] - interval[0]) / 2


def test_every_metric_has_intervals() -> None:
    assert WAYS.keys() == METRICS.keys()


def test_spectra_vary_as_their_intervals_say() -> None:
    random, pools = np.random.default_rng(2), (pool(0, 200, 0.4, 60.0), pool(1, 200, 0.0, 0.0))
    draws = [
        of_spectra(*(together(side[number] for number in random.integers(0, 200, 100)) for side in pools))
        for _ in range(60)
    ]
    for name in ("spectrum", "window_grid"):
        deviation = np.std([values[name] for values, _ in draws])
        assert 0.7 < np.mean([half(intervals[name]) for _, intervals in draws]) / (Z * deviation) < 1.4


def test_spectra_of_statistics_without_parts_vary_by_the_fakes_alone() -> None:
    fakes, reals = together(pool(0, 40, 0.4, 60.0)), together(pool(1, 40, 0.0, 0.0))
    both = of_spectra(fakes, reals)[1]
    alone = of_spectra(fakes, Spectrum(reals.count, reals.total))[1]
    assert 0 < half(alone["spectrum"]) < half(both["spectrum"])
    assert of_spectra(Spectrum(fakes.count, fakes.total), reals)[1] == {}


def test_small_pictures_have_an_interval_of_the_spectrum_alone() -> None:
    random = np.random.default_rng(0)
    tiny = [together(Spectrum.of(random.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(9)) for _ in range(2)]
    assert of_spectra(*tiny)[1].keys() == {"spectrum"}


def test_those_of_features_agree_with_each_other() -> None:
    random = np.random.default_rng(0)
    features = [random.standard_normal((count, 6)).astype(np.float32) + shift for count, shift in ((60, 0.3), (50, 0))]
    sides = [Collected(len(side), Moments.of(side), side) for side in features]
    context, names = Context(), ["fid", "fid-infinity", "memorization"]
    values: dict[str, float] = {}
    for name in names:
        values |= METRICS[name].measure(*sides, context)
    found = measure_intervals(names, values, *sides, context, Console(quiet=True))
    assert found["authenticity"] == wilson(nearest_reals(*features).authentic)
    assert 1.1 < half(found["fid_infinity"]) / (found["fid"][1] - values["fid"]) < 1.3
    assert sum(found["fid_infinity"]) / 2 == pytest.approx(values["fid_infinity"])


def test_those_of_path_lengths_are_of_what_was_measured() -> None:
    context, lengths = Context(), np.random.default_rng(0).lognormal(3, 1, 300)
    context.once("lengths in w", lambda: lengths)
    nothing = Collected(300)
    value = trimmed_mean(lengths)
    found = measure_intervals(["ppl"], {"ppl_w": value}, nothing, nothing, context, Console(quiet=True))
    assert found.keys() == {"ppl_w"}
    assert found["ppl_w"][1] - value == pytest.approx(Z * resampled_deviation(lengths, trimmed_mean, 0))

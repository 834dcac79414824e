"""95 % confidence intervals of the metrics: the range in which most values fall if both sides are drawn again.

- FID, KID and the inception score: 1.96 standard deviations of bootstrap resamples (Efron 1979) of both sides, around
  the value itself. Resampling repeats images and shifts FID and KID, so the resamples' own percentiles are not used.
- KID is a mean over random subsets. The standard error of that mean is added in quadrature.
- FID∞: the interval of FID, widened by `deviation_factor`.
- Path lengths: 1.96 standard deviations of resampled lengths.
- Precision, recall, coverage, authenticity: Wilson's interval (1927) of the share of images, with the regions fixed.
- Density: the standard error of a mean over images.
- Spectra: 1.96 standard deviations of a delete-a-group jackknife over parts of either side.

A bias that depends on the number of images, such as FID's, is in the value and in both ends alike. An interval shows
random variation, not whether there are enough images.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from swincli.console import Console
from swincli.metrics.confidence.bootstrap import (
    fid_sampler,
    inception_score_sampler,
    jackknife_deviation,
    kid_sampler,
    resampled_deviation,
)
from swincli.metrics.definitions.ppl import PathLengths, trimmed_mean
from swincli.metrics.definitions.radial_profile import RadialProfile, spectral_distance
from swincli.metrics.definitions.spectrum import SpectrumDifference
from swincli.metrics.streams.features import SideStatistics

Interval = tuple[float, float]

Z = 1.959964  # bounds the middle 95 % of a standard normal distribution
MANY, SOME, FEW = 400, 50, 20  # resamples; their deviation is known to 4, 10 and 16 %
_FID_MANY, _FID_SOME = 250, 1000  # images per side up to which a resample of FID takes hundredths or tenths of a second
_SCORE_MANY = 5000  # images up to which a resample of the inception score takes hundredths of a second


def around(value: float, deviation: float, least: float = -np.inf) -> Interval:
    """The middle 95 % of a normal distribution, clipped below at `least`."""
    return max(least, value - Z * deviation), value + Z * deviation


def of_mean(values: NDArray[np.float64], least: float = -np.inf) -> Interval:
    """The interval of the mean of `values` [N] by its standard error, clipped below at `least`."""
    return around(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), least)


def wilson(hits: NDArray[np.bool_]) -> Interval:
    """Wilson's interval of the share of true values in `hits` [N]; it has a width even if none or all are true."""
    number, share = len(hits), float(hits.mean())
    middle = (share + Z**2 / (2 * number)) / (1 + Z**2 / number)
    half = Z / (1 + Z**2 / number) * np.sqrt(share * (1 - share) / number + Z**2 / (4 * number**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def fid_deviation(fakes: SideStatistics, reals: SideStatistics, seed: int, console: Console) -> float | None:
    """Bootstrap standard deviation of FID; None without features of the fakes.

    Without features of the reals, only the fakes are resampled.
    """
    if fakes.features is None:
        return None
    other = reals.moments if reals.features is None else reals.features
    assert other is not None
    largest = max(fakes.count, reals.count)
    times = MANY if largest <= _FID_MANY else SOME if largest <= _FID_SOME else FEW
    return float(_resample(fid_sampler(fakes.features, other, seed), times, console).std())


def kid_deviation(fakes: SideStatistics, reals: SideStatistics, seed: int, console: Console) -> float | None:
    """Bootstrap standard deviation of KID; None without features of both sides."""
    if fakes.features is None or reals.features is None:
        return None
    sampler, factor = kid_sampler(fakes.features, reals.features, seed)
    return factor * float(_resample(sampler, MANY, console).std())


def inception_score_deviation(
    fakes: SideStatistics, _reals: SideStatistics, seed: int, console: Console
) -> float | None:
    """Bootstrap standard deviation of the inception score; None without logits."""
    if fakes.logits is None:
        return None
    times = MANY if fakes.count <= _SCORE_MANY else SOME
    return float(_resample(inception_score_sampler(fakes.logits, seed), times, console).std())


def spectrum_intervals(difference: SpectrumDifference, _: float = 0.0) -> dict[str, Interval]:
    """Jackknife intervals of `spectrum` and `window_grid`.

    Without parts of the reals, only parts of the fakes are left out. Without parts of the fakes there is no interval.
    """
    f, r, window = difference.fakes.profile, difference.reals.profile, difference.window
    sides = (
        [(part, r) for part in difference.fakes.profiles_without_parts()],
        [(f, part) for part in difference.reals.profiles_without_parts()],
    )
    if not sides[0]:
        return {}

    def window_grid(fakes: RadialProfile, reals: RadialProfile) -> float:
        return fakes.grid_excess(window) - reals.grid_excess(window)

    found, values = {}, difference.values()
    for name, measure, least in (("spectrum", spectral_distance, 0.0), ("window_grid", window_grid, -np.inf)):
        if name in values:
            of_fakes, of_reals = (jackknife_deviation([measure(*pair) for pair in side]) for side in sides)
            found[name] = around(values[name], math.hypot(of_fakes, of_reals), least)
    return found


def path_length_intervals(lengths: PathLengths, _: float = 0.0) -> dict[str, Interval]:
    """Bootstrap intervals of `ppl_w` and `ppl_z`."""
    return {
        name: around(trimmed_mean(values), resampled_deviation(values, trimmed_mean, lengths.seed), least=0.0)
        for name, values in (("ppl_w", lengths.w), ("ppl_z", lengths.z))
    }


def _resample(sample: Callable[[], float], times: int, console: Console) -> NDArray[np.float64]:
    """Values of that many calls of `sample`."""
    values = np.empty(times)
    with console.progress("Intervals", times, "resamples") as advance:
        for number in range(times):
            values[number] = sample()
            advance()
    return values

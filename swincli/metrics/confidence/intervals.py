"""95 % intervals: in which range a value would mostly come out, were both sides drawn anew.

What falls or rises with the number of pictures, such as FID's bias, is in the value and in both ends alike: an interval
tells chance, not whether the number is large enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swincli.console import Console
from swincli.metrics.confidence.bootstrap import (
    fid_sampler,
    jackknife_deviation,
    kid_sampler,
    resampled_deviation,
    score_sampler,
)
from swincli.metrics.definitions.fid_infinity import deviation_factor, numbers_of
from swincli.metrics.definitions.memorization import nearest_reals
from swincli.metrics.definitions.ppl import trimmed_mean
from swincli.metrics.definitions.prdc import Overlap, overlap
from swincli.metrics.definitions.radial_profile import Profile, spectral_distance
from swincli.metrics.registry import Context
from swincli.metrics.streams.features import Collected, Need

Interval = tuple[float, float]

Z = 1.959964  # of the normal distribution's middle 95 %
RESAMPLES, FEW_RESAMPLES = 50, 20
_QUICK = 1000  # pictures a side up to which drawing again takes less than a second

EXTRA_NEEDS: dict[str, frozenset[Need]] = {"fid": frozenset({"features"})}
"""What the intervals of a metric take beyond what it needs itself."""


@dataclass(frozen=True)
class Measured:
    """What intervals are made of: values, and what they were computed from.

    Attributes:
        values: What the metrics have measured, by name.
        fakes: With the features, or logits, that the metrics were computed from.
        reference: The same; without features only the fakes are drawn again.
        context: As the metrics were given.
        console: Told how far it is.
    """

    values: Mapping[str, float]
    fakes: Collected
    reference: Collected
    context: Context
    console: Console


def measure_intervals(
    metrics: Iterable[str],
    values: Mapping[str, float],
    fakes: Collected,
    reference: Collected,
    context: Context,
    console: Console,
) -> dict[str, Interval]:
    """Intervals of what metrics have measured, by the names of the values; without those that have none.

    FID, KID and the inception score: 1.96 standard deviations of bootstrap resamples (Efron 1979) of both sides, around
    the value itself, as resampling repeats pictures and so shifts the first and the last of them. FID∞: that of FID,
    wider by as much as the line varies more. Path lengths: of resamples of the lengths. BatchSplit: Wilson's interval
    (1927) of the pictures that they count, the regions held fast. Density: of the mean over pictures. Spectra: 1.96
    standard deviations by leaving out parts of the pictures of either side.

    Args:
        metrics: Names from the table of metrics.
        values: What they have measured.
        fakes: With the features, or logits, that the metrics were computed from.
        reference: The same; without features only the fakes are drawn again.
        context: As the metrics were given.
        console: Told how far it is.
    """
    measured = Measured(values, fakes, reference, context, console)
    found: dict[str, Interval] = {}
    for name in metrics:
        found |= WAYS[name](measured) if name in WAYS else {}
    return found


def around(value: float, deviation: float, least: float = -np.inf) -> Interval:
    """The middle 95 % of a normal distribution, from `least` on."""
    return max(least, value - Z * deviation), value + Z * deviation


def wilson(hits: NDArray[np.bool_]) -> Interval:
    """Wilson's interval of a share; also of none and all of a few pictures it says how little is known."""
    number, share = len(hits), float(hits.mean())
    middle = (share + Z**2 / (2 * number)) / (1 + Z**2 / number)
    half = Z / (1 + Z**2 / number) * np.sqrt(share * (1 - share) / number + Z**2 / (4 * number**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _fid_deviation(measured: Measured) -> float | None:
    fakes, reference = measured.fakes, measured.reference
    features = fakes.features
    if features is None:
        return None
    reals: Any = reference.features if reference.features is not None else reference.moments
    seed = measured.context.seed

    def work() -> float:
        sampler = fid_sampler(features, reals, seed)
        return float(_draw(sampler, fakes.count, reference.count, measured.console).std())

    return measured.context.once("deviation of fid", work)


def _of_fid(measured: Measured) -> dict[str, Interval]:
    deviation = _fid_deviation(measured)
    return {} if deviation is None else {"fid": around(measured.values["fid"], deviation, least=0.0)}


def _of_fid_infinity(measured: Measured) -> dict[str, Interval]:
    deviation = _fid_deviation(measured)
    if deviation is None:
        return {}
    factor = deviation_factor(numbers_of(measured.fakes.count))
    return {"fid_infinity": around(measured.values["fid_infinity"], factor * deviation)}


def _of_kid(measured: Measured) -> dict[str, Interval]:
    fakes, reference = measured.fakes, measured.reference
    if fakes.features is None or reference.features is None:
        return {}
    sampler, factor = kid_sampler(fakes.features, reference.features, measured.context.seed)
    samples = _draw(sampler, fakes.count, reference.count, measured.console)
    return {"kid": around(measured.values["kid"], factor * float(samples.std()))}


def _of_score(measured: Measured) -> dict[str, Interval]:
    fakes = measured.fakes
    if fakes.logits is None:
        return {}
    samples = _draw(score_sampler(fakes.logits, measured.context.seed), fakes.count, 0, measured.console)
    return {"is": around(measured.values["is"], float(samples.std()), least=1.0)}


def _overlap(measured: Measured) -> Overlap:
    f, r = measured.fakes.features, measured.reference.features
    assert f is not None
    assert r is not None
    return measured.context.once("overlap", lambda: overlap(f, r, measured.context.device))


def _of_precision(measured: Measured) -> dict[str, Interval]:
    result = _overlap(measured)
    return {"precision": wilson(result.precision), "recall": wilson(result.recall)}


def _of_density(measured: Measured) -> dict[str, Interval]:
    result = _overlap(measured)
    spread = float(result.density.std(ddof=1) / np.sqrt(len(result.density)))
    density = around(float(result.density.mean()), spread, least=0.0)
    return {"density": density, "coverage": wilson(result.coverage)}


def _of_spectra(measured: Measured) -> dict[str, Interval]:
    """Without each of the parts of one side in turn; where only the fakes' parts are known, of these alone."""
    fakes, reals = measured.fakes.spectrum, measured.reference.spectrum
    assert fakes is not None
    assert reals is not None
    f, r, window = fakes.profile, reals.profile, measured.context.window
    sides = (
        [(part, r) for part in fakes.profiles_without_parts()],
        [(f, part) for part in reals.profiles_without_parts()],
    )
    if not sides[0]:
        return {}

    def grid(one: Profile, other: Profile) -> float:
        return one.grid_excess(window) - other.grid_excess(window)

    found = {}
    for name, measure, least in (("spectrum", spectral_distance, 0.0), ("window_grid", grid, -np.inf)):
        if name in measured.values:
            one, other = (jackknife_deviation([measure(*pair) for pair in side]) for side in sides)
            found[name] = around(measured.values[name], math.hypot(one, other), least)
    return found


def _of_authenticity(measured: Measured) -> dict[str, Interval]:
    f, r = measured.fakes.features, measured.reference.features
    assert f is not None
    assert r is not None
    nearest = measured.context.once("nearest", lambda: nearest_reals(f, r, measured.context.device))
    return {"authenticity": wilson(nearest.authentic)}


def _of_path_lengths(measured: Measured) -> dict[str, Interval]:
    found = {}
    for space in ("w", "z"):
        lengths = measured.context.known(f"lengths in {space}")
        if lengths is not None:
            deviation = resampled_deviation(lengths, trimmed_mean, measured.context.seed)
            found[f"ppl_{space}"] = around(measured.values[f"ppl_{space}"], deviation, least=0.0)
    return found


WAYS: dict[str, Callable[[Measured], dict[str, Interval]]] = {
    "fid": _of_fid,
    "kid": _of_kid,
    "pr": _of_precision,
    "dc": _of_density,
    "fid-infinity": _of_fid_infinity,
    "is": _of_score,
    "spectrum": _of_spectra,
    "memorization": _of_authenticity,
    "ppl": _of_path_lengths,
}
"""How the intervals of each metric of the table are found."""


def _draw(sample: Any, fakes: int, reals: int, console: Console) -> NDArray[np.float64]:
    times = RESAMPLES if max(fakes, reals) <= _QUICK else FEW_RESAMPLES
    values = np.empty(times)
    with console.progress("Intervals", times, "resamples") as advance:
        for number in range(times):
            values[number] = sample()
            advance()
    return values

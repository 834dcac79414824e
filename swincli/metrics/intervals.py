"""95 % intervals: in which range a value would mostly come out, were both sides drawn anew.

What falls or rises with the number of pictures, such as FID's bias, is in the value and in both ends alike: an interval
tells chance, not whether the number is large enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swincli.console import Console
from swincli.metrics.features import Collected, Need
from swincli.metrics.manifold import overlap
from swincli.metrics.resampling import fid_sampler, kid_sampler, score_sampler
from swincli.metrics.table import Context

Interval = tuple[float, float]

Z = 1.959964  # of the normal distribution's middle 95 %
RESAMPLES, FEW_RESAMPLES = 50, 20
_QUICK = 1000  # pictures a side up to which drawing again takes less than a second

EXTRA_NEEDS: dict[str, frozenset[Need]] = {"fid": frozenset({"features"})}
"""What the intervals of a metric take beyond what it needs itself."""
SUPPORTED = ("fid", "kid", "pr", "dc", "is")


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
    the value itself, as resampling repeats pictures and so shifts the first and the last of them. Shares: Wilson's
    interval (1927) of the pictures that they count, the regions held fast. Density: of the mean over pictures.

    Args:
        metrics: Names from the table of metrics.
        values: What they have measured.
        fakes: With the features, or logits, that the metrics were computed from.
        reference: The same; without features only the fakes are drawn again.
        context: As the metrics were given.
        console: Told how far it is.
    """
    found: dict[str, Interval] = {}
    for name in metrics:
        if name == "fid" and fakes.features is not None:
            reals: Any = reference.features if reference.features is not None else reference.moments
            samples = _draw(fid_sampler(fakes.features, reals, context.seed), fakes.count, reference.count, console)
            found["fid"] = around(values["fid"], float(samples.std()), least=0.0)
        elif name == "kid" and fakes.features is not None and reference.features is not None:
            sampler, factor = kid_sampler(fakes.features, reference.features, context.seed)
            samples = _draw(sampler, fakes.count, reference.count, console)
            found["kid"] = around(values["kid"], factor * float(samples.std()))
        elif name == "is" and fakes.logits is not None:
            samples = _draw(score_sampler(fakes.logits, context.seed), fakes.count, 0, console)
            found["is"] = around(values["is"], float(samples.std()), least=1.0)
        elif name in ("pr", "dc"):
            found |= _of_regions(name, fakes, reference, context)
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


def _of_regions(name: str, fakes: Collected, reference: Collected, context: Context) -> dict[str, Interval]:
    f, r = fakes.features, reference.features
    assert f is not None
    assert r is not None
    result = context.once("overlap", lambda: overlap(f, r, context.device))
    if name == "pr":
        return {"precision": wilson(result.precision), "recall": wilson(result.recall)}
    spread = float(result.density.std(ddof=1) / np.sqrt(len(result.density)))
    density = around(float(result.density.mean()), spread, least=0.0)
    return {"density": density, "coverage": wilson(result.coverage)}


def _draw(sample: Any, fakes: int, reals: int, console: Console) -> NDArray[np.float64]:
    times = RESAMPLES if max(fakes, reals) <= _QUICK else FEW_RESAMPLES
    values = np.empty(times)
    with console.progress("Intervals", times, "resamples") as advance:
        for number in range(times):
            values[number] = sample()
            advance()
    return values

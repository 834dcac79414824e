"""The metrics there are: one row each."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from swincli.errors import UsageError
from swincli.metrics.features import Collected, Need
from swincli.metrics.frechet import fid


@dataclass(frozen=True)
class Metric:
    """A way to compare two sides of pictures.

    Attributes:
        needs: What it is computed from.
        measure: Values by name, from fakes, reference and the seed of whatever it draws.
        enough: Pictures a side below which the value is known to be off.
        caution: What to say then.
    """

    needs: frozenset[Need]
    measure: Callable[[Collected, Collected, int], dict[str, float]]
    enough: int
    caution: str


METRICS = {
    "fid": Metric(
        needs=frozenset({"moments"}),
        measure=fid,
        enough=2048,
        caution="fid is biased upwards, the more the fewer the pictures; compare it only at equal numbers",
    ),
}


def parse_metrics(text: str) -> list[str]:
    """Read a comma-separated list of metrics; each is taken once.

    Raises:
        UsageError: an unknown metric, or none.
    """
    known = ", ".join(METRICS)
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError("--metric: names no metric", f"There is: {known}.")
    for name in names:
        if name not in METRICS:
            near = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.5)
            guess = f'Did you mean "{near[0]}"? ' if near else ""
            raise UsageError(f'--metric: unknown metric "{name}"', f"{guess}There is: {known}.")
    return names

"""The metrics there are: one row each."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from swincli.console import Advance, Console
from swincli.errors import DataError, UsageError
from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.fid_infinity import fid_infinity
from swincli.metrics.definitions.inception_score import inception_score
from swincli.metrics.definitions.kid import kernel_distance
from swincli.metrics.definitions.memorization import nearest_reals
from swincli.metrics.definitions.ppl import path_lengths, trimmed_mean
from swincli.metrics.definitions.prdc import COVERAGE_K, PRECISION_K, Overlap, overlap
from swincli.metrics.definitions.radial_profile import WINDOW, spectral_distance
from swincli.metrics.networks import stlpips
from swincli.metrics.plots.memorization import draw_nearest
from swincli.metrics.plots.spectrum import draw_spectra
from swincli.metrics.protocol import NetworkRecord
from swincli.metrics.streams.features import Collected, Need
from swincli.metrics.streams.images import ImageSet
from swincli.model.files.model_file import Model
from swincli.synthesis.sampling import default_sampling_batch
from swincli.system.distributed import Processes

T = TypeVar("T")

MOST_PAIRS = 5000  # of codes for path lengths; at 256 px a pair takes seconds on a CPU


@dataclass(frozen=True)
class Context:
    """What metrics are given beside the two sides.

    Attributes:
        seed: Of whatever they draw.
        device: Where what is large is computed.
        model: What made the fakes, where a model did.
        reference: The real pictures themselves.
        plots: Folder that pictures and plots go to; None for none.
        console: Told how far long work is.
        processes: Those that measure together.
    """

    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    model: Model | None = None
    reference: ImageSet | None = None
    plots: Path | None = None
    console: Console = field(default_factory=lambda: Console(quiet=True))
    processes: Processes = field(default_factory=Processes)
    _known: dict[str, Any] = field(default_factory=dict)

    @property
    def window(self) -> int:
        """Side of the windows whose grid is looked for, in pixels."""
        return self.model.recipe.model.window if self.model else WINDOW

    def once(self, name: str, work: Callable[[], T]) -> T:
        """The result of work that several metrics share."""
        if name not in self._known:
            self._known[name] = work()
        return cast("T", self._known[name])

    def known(self, name: str) -> Any | None:
        """The result of work that a metric has done before; None if none has."""
        return self._known.get(name)


Values = dict[str, float]


def _takes_nothing(context: Context) -> None:
    """Most metrics need no more than the two sides."""


@dataclass(frozen=True)
class Metric:
    """A way to compare two sides of pictures.

    Attributes:
        needs: What it is computed from.
        measure: Values by name, from fakes, reference and the context.
        enough: Pictures a side below which the value is known to be off.
        caution: What to say then.
        headline: The value that tells which of two models is better.
        higher_is_better: Whether that is the one with more of it.
        least: Pictures a side below which there is no value.
        check: Raises where the context lacks what it takes; for before the pictures are gone through.
        network: What it looks with beside the detector, for the protocol.
        shared: Whether all processes measure it together, rather than the leading one, which alone knows the two sides.
    """

    needs: frozenset[Need]
    measure: Callable[[Collected, Collected, Context], Values]
    enough: int
    caution: str
    headline: str = ""
    higher_is_better: bool = False
    least: int = 2
    check: Callable[[Context], None] = _takes_nothing
    network: NetworkRecord | None = None
    shared: bool = False


def _fid(fakes: Collected, reference: Collected, context: Context) -> Values:  # noqa: ARG001
    assert fakes.moments is not None
    assert reference.moments is not None
    return {"fid": frechet_distance(fakes.moments, reference.moments)}


def _kid(fakes: Collected, reference: Collected, context: Context) -> Values:
    assert fakes.features is not None
    assert reference.features is not None
    result = kernel_distance(fakes.features, reference.features, context.seed)
    return {"kid": result.mean, "kid_std": result.deviation}


def _overlap(fakes: Collected, reference: Collected, context: Context) -> Overlap:
    assert fakes.features is not None
    assert reference.features is not None
    f, r = fakes.features, reference.features
    return context.once("overlap", lambda: overlap(f, r, context.device))


def _precision_recall(fakes: Collected, reference: Collected, context: Context) -> Values:
    result = _overlap(fakes, reference, context)
    return {"precision": float(result.precision.mean()), "recall": float(result.recall.mean())}


def _density_coverage(fakes: Collected, reference: Collected, context: Context) -> Values:
    result = _overlap(fakes, reference, context)
    return {"density": float(result.density.mean()), "coverage": float(result.coverage.mean())}


def _fid_infinity(fakes: Collected, reference: Collected, context: Context) -> Values:
    assert fakes.features is not None
    assert reference.moments is not None
    return {"fid_infinity": fid_infinity(fakes.features, reference.moments, context.seed).value}


def _inception_score(fakes: Collected, reference: Collected, context: Context) -> Values:  # noqa: ARG001
    assert fakes.logits is not None
    result = inception_score(fakes.logits)
    return {"is": result.mean, "is_std": result.deviation}


def _spectrum(fakes: Collected, reference: Collected, context: Context) -> Values:
    assert fakes.spectrum is not None
    assert reference.spectrum is not None
    if fakes.spectrum.size != reference.spectrum.size:
        sizes = " and ".join(f"{width} x {height}" for height, width in (fakes.spectrum.size, reference.spectrum.size))
        raise DataError(f"--metric spectrum: cannot compare pictures of {sizes} px", "Bring both sides to one size.")
    f, r = fakes.spectrum.profile, reference.spectrum.profile
    values = {"spectrum": spectral_distance(f, r)}
    excess = f.grid_excess(context.window) - r.grid_excess(context.window)
    if math.isfinite(excess):
        values["window_grid"] = excess
    if context.plots is not None:
        draw_spectra(context.plots / "spectrum.png", f, r, context.window)
    return values


def _memorization(fakes: Collected, reference: Collected, context: Context) -> Values:
    assert fakes.features is not None
    assert reference.features is not None
    f, r = fakes.features, reference.features
    nearest = context.once("nearest", lambda: nearest_reals(f, r, context.device))
    if context.plots is not None and context.reference is not None and fakes.samples:
        draw_nearest(context.plots / "memorization.png", fakes.samples, nearest, context.reference)
    return {"authenticity": float(nearest.authentic.mean())}


def _check_path_length(context: Context) -> None:
    if context.model is None:
        raise UsageError("--metric ppl: measures a model, not pictures", "Give --checkpoint in place of --images.")
    stlpips.WEIGHTS.require()


def _path_length(fakes: Collected, reference: Collected, context: Context) -> Values:  # noqa: ARG001
    _check_path_length(context)
    model = context.model
    assert model is not None
    processes = context.processes
    distance = processes.run_on_all(lambda _: stlpips.load_perceptual(stlpips.WEIGHTS.require(), model.device))
    pairs, batch = min(fakes.count, MOST_PAIRS), max(1, default_sampling_batch(max(128, model.recipe.model.size)) // 4)
    share = processes.share(pairs, batch)

    def measure(space: str) -> float:
        def lengths(told: Advance) -> NDArray[np.float64]:
            return path_lengths(model, space, pairs, context.seed, distance, batch, told, share)

        with context.console.progress(f"Path length in {space.upper()}", pairs, "pairs") as advance:
            parts = processes.gather(processes.run_on_all(lengths, advance))
        name = f"lengths in {space}"
        return processes.from_main(lambda: trimmed_mean(context.once(name, lambda: np.concatenate(parts))))

    return {f"ppl_{space}": measure(space) for space in ("w", "z")}


METRICS = {
    "fid": Metric(
        needs=frozenset({"moments"}),
        measure=_fid,
        enough=2048,
        caution="fid is biased upwards, the more the fewer the pictures; compare it only at equal numbers",
        headline="fid",
    ),
    "kid": Metric(
        needs=frozenset({"features"}),
        measure=_kid,
        enough=1000,
        caution="kid's subsets are smaller than the 1,000 pictures of published figures, and its kid_std larger",
        headline="kid",
    ),
    "pr": Metric(
        needs=frozenset({"features"}),
        measure=_precision_recall,
        enough=10_000,
        caution="precision and recall depend on the number of pictures; compare them only at equal numbers",
        headline="precision",
        higher_is_better=True,
        least=PRECISION_K + 1,
    ),
    "dc": Metric(
        needs=frozenset({"features"}),
        measure=_density_coverage,
        enough=1000,
        caution="density and coverage vary much from one draw to the next",
        headline="coverage",
        higher_is_better=True,
        least=COVERAGE_K + 1,
    ),
    "fid-infinity": Metric(
        needs=frozenset({"features", "moments"}),
        measure=_fid_infinity,
        enough=5000,
        caution="the line that fid-infinity is read from is steep and uncertain",
        headline="fid_infinity",
        least=20,
    ),
    "is": Metric(
        needs=frozenset({"logits"}),
        measure=_inception_score,
        enough=5000,
        caution="the inception score is biased downwards, the more the fewer the pictures",
        headline="is",
        higher_is_better=True,
    ),
    "spectrum": Metric(
        needs=frozenset({"spectrum"}),
        measure=_spectrum,
        enough=100,
        caution="mean spectra are noisy",
        headline="spectrum",
    ),
    "memorization": Metric(
        needs=frozenset({"features", "samples"}),
        measure=_memorization,
        enough=1000,
        caution="authenticity is uncertain by several hundredths",
        headline="authenticity",
        higher_is_better=True,
    ),
    "ppl": Metric(
        needs=frozenset(),
        measure=_path_length,
        enough=1000,
        caution="a few long steps weigh heavily in ppl",
        headline="ppl_w",
        check=_check_path_length,
        network=NetworkRecord(stlpips.WEIGHTS.what, stlpips.WEIGHTS.sha256),
        shared=True,
    ),
}

ALIASES = {
    "precision": "pr",
    "recall": "pr",
    "density": "dc",
    "coverage": "dc",
    "fid_infinity": "fid-infinity",
    "authenticity": "memorization",
}


def parse_metrics(text: str) -> list[str]:
    """Read a comma-separated list of metrics, such as "fid,kid,precision,recall"; each is taken once.

    Raises:
        UsageError: an unknown metric, or none.
    """
    known = ", ".join(METRICS)
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("--metric: names no metric", f"There are: {known}.")
    for name in names:
        if name not in METRICS and name not in ALIASES:
            near = difflib.get_close_matches(name, [*METRICS, *ALIASES], n=1, cutoff=0.5)
            guess = f'Did you mean "{near[0]}"? ' if near else ""
            raise UsageError(f'--metric: unknown metric "{name}"', f"{guess}There are: {known}.")
    return list(dict.fromkeys(ALIASES.get(name, name) for name in names))

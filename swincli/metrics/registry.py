"""The registry of metrics: one row each, with its needs, values, intervals, plot and cautions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from swincli.console import Advance
from swincli.errors import UsageError, did_you_mean
from swincli.metrics.by_label import (
    ACCURACY,
    BY_CLASS,
    SMALL_CLASS,
    ByClass,
    LabelAccuracy,
    by_class,
    check_label_accuracy,
    label_accuracy,
)
from swincli.metrics.confidence import intervals
from swincli.metrics.confidence.intervals import around, wilson
from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.fid_infinity import FIDInfinity, deviation_factor, fid_infinity
from swincli.metrics.definitions.inception_score import InceptionScore, inception_score
from swincli.metrics.definitions.kid import KID, SUBSET_SIZE, kernel_inception_distance
from swincli.metrics.definitions.neighbours import Neighbours
from swincli.metrics.definitions.ppl import PathLengths, path_lengths, trimmed_mean
from swincli.metrics.definitions.prdc import COVERAGE_K, PRECISION_K
from swincli.metrics.definitions.spectrum import SpectrumDifference, require_same_size
from swincli.metrics.metric import Context, Metric
from swincli.metrics.networks import stlpips
from swincli.metrics.plots.memorization import plot_nearest
from swincli.metrics.plots.spectrum import plot_spectra
from swincli.metrics.protocol import NetworkRecord
from swincli.metrics.streams.captioned import TextFit, check_texts, match_texts
from swincli.metrics.streams.features import SideStatistics
from swincli.metrics.streams.images import ImageSet
from swincli.metrics.streams.labels import check_by
from swincli.model.files.model_file import Model
from swincli.model.pretrained.efficientnet import WEIGHTS
from swincli.synthesis.sampling import default_sampling_batch

T = TypeVar("T")

MAX_PAIRS = 5000  # pairs of latents for PPL; at 256 px one pair takes seconds on a CPU


def _fid(fakes: SideStatistics, reals: SideStatistics, _: Context) -> float:
    return frechet_distance(_given(fakes.moments), _given(reals.moments))


def _kid(fakes: SideStatistics, reals: SideStatistics, context: Context) -> KID:
    return kernel_inception_distance(_given(fakes.features), _given(reals.features), context.seed)


def _neighbours(fakes: SideStatistics, reals: SideStatistics, context: Context) -> Neighbours:
    return Neighbours(_given(fakes.features), _given(reals.features), context.device)


def _fid_infinity(fakes: SideStatistics, reals: SideStatistics, context: Context) -> FIDInfinity:
    return fid_infinity(_given(fakes.features), _given(reals.moments), context.seed)


def _inception_score(fakes: SideStatistics, _reals: SideStatistics, _: Context) -> InceptionScore:
    return inception_score(_given(fakes.logits))


def _spectrum(fakes: SideStatistics, reals: SideStatistics, context: Context) -> SpectrumDifference:
    one, other = _given(fakes.spectrum), _given(reals.spectrum)
    require_same_size(one, other)
    return SpectrumDifference(one, other, context.window)


def _plot_spectrum(
    folder: Path, difference: SpectrumDifference, _fakes: SideStatistics, _images: ImageSet | None
) -> None:
    plot_spectra(folder / "spectrum.png", difference.fakes.profile, difference.reals.profile, difference.window)


def _plot_memorization(folder: Path, found: Neighbours, fakes: SideStatistics, images: ImageSet | None) -> None:
    if images is not None and fakes.samples:
        plot_nearest(folder / "memorization.png", fakes.samples, found.nearest, images)


def _check_ppl(context: Context) -> None:
    _model_of(context)
    stlpips.WEIGHTS.require()


def _model_of(context: Context) -> Model:
    if context.model is None:
        raise UsageError("--metric ppl: needs a model, not image files", "Use --checkpoint instead of --images.")
    return context.model


def _ppl(fakes: SideStatistics, _reals: SideStatistics, context: Context) -> PathLengths:
    """Path lengths in W and Z; each rank computes its share of the pairs, rank 0 gets all of them."""
    model, processes = _model_of(context), context.processes
    distance = processes.run_on_all(lambda _: stlpips.load_perceptual(stlpips.WEIGHTS.require(), model.device))
    pairs = min(fakes.count, MAX_PAIRS)
    batch = max(
        1, default_sampling_batch(max(128, model.recipe.model.size)) // 4
    )  # a pair is two images, and VGG-16 is large
    share = processes.shard(pairs, batch)

    def gather_lengths(space: str) -> NDArray[np.float64]:
        def lengths(advance: Advance) -> NDArray[np.float64]:
            return path_lengths(model, space, pairs, context.seed, distance, batch, advance, share)

        with context.console.progress(f"Path length in {space.upper()}", pairs, "pairs") as advance:
            parts = processes.gather(processes.run_on_all(lengths, advance))
        return np.concatenate([np.zeros(0), *parts])

    return PathLengths(w=gather_lengths("w"), z=gather_lengths("z"), seed=context.seed)


def _check_texts(context: Context) -> None:
    check_texts(context.model, context.reference)


def _text(fakes: SideStatistics, _reals: SideStatistics, context: Context) -> TextFit:
    """R-precision and the accuracy of what captions name, of images that are drawn here from captions."""
    reference, detector, truncation = _given(context.reference), _given(context.detector), context.truncation
    return match_texts(
        _given(context.model), reference, detector, fakes.count, context.seed, context.console, truncation
    )


def _given(statistic: T | None) -> T:
    """A statistic that the row's `needs` name, so it was collected."""
    assert statistic is not None
    return statistic


METRICS: dict[str, Metric[Any]] = {
    "fid": Metric(
        needs=frozenset({"moments"}),
        measure=_fid,
        values=lambda distance: {"fid": distance},
        enough=2048,
        caution="FID is biased upwards, and more with fewer images; compare it only at equal numbers of images",
        headline="fid",
        interval=lambda distance, deviation: {"fid": around(distance, deviation, least=0.0)},
        bootstrap=intervals.fid_deviation,
        bootstrap_needs=frozenset({"features"}),
    ),
    "kid": Metric(
        needs=frozenset({"features"}),
        measure=_kid,
        values=lambda kid: {"kid": kid.mean, "kid_std": kid.deviation},
        enough=2 * SUBSET_SIZE,
        caution="the subsets of KID are smaller than the 1,000 images of published figures, and kid_std is larger",
        headline="kid",
        others=("kid_std",),
        interval=lambda kid, deviation: {"kid": around(kid.mean, math.hypot(deviation, kid.subset_error))},
        bootstrap=intervals.kid_deviation,
    ),
    "pr": Metric(
        needs=frozenset({"features"}),
        measure=_neighbours,
        values=lambda found: {
            "precision": float(found.prdc.precision.mean()),
            "recall": float(found.prdc.recall.mean()),
        },
        enough=10_000,
        caution="precision and recall depend on the number of images; compare them only at equal numbers",
        least=PRECISION_K + 1,
        headline="precision",
        others=("recall",),
        higher_is_better=True,
        interval=lambda found, _: {"precision": wilson(found.prdc.precision), "recall": wilson(found.prdc.recall)},
        aliases=("precision", "recall"),
    ),
    "dc": Metric(
        needs=frozenset({"features"}),
        measure=_neighbours,
        values=lambda found: {
            "density": float(found.prdc.density.mean()),
            "coverage": float(found.prdc.coverage.mean()),
        },
        enough=1000,
        caution="density and coverage vary much from one draw of images to the next",
        least=COVERAGE_K + 1,
        headline="coverage",
        others=("density",),
        higher_is_better=True,
        interval=lambda found, _: {
            "density": intervals.of_mean(found.prdc.density, least=0.0),
            "coverage": wilson(found.prdc.coverage),
        },
        aliases=("density", "coverage"),
    ),
    "fid-infinity": Metric(
        needs=frozenset({"features", "moments"}),
        measure=_fid_infinity,
        values=lambda line: {"fid_infinity": line.value},
        enough=5000,
        caution="the line that gives fid-infinity is steep and uncertain",
        least=20,
        headline="fid_infinity",
        interval=lambda line, deviation: {
            "fid_infinity": around(line.value, deviation_factor(line.subset_sizes) * deviation)
        },
        bootstrap=intervals.fid_deviation,
        aliases=("fid_infinity",),
    ),
    "is": Metric(
        needs=frozenset({"logits"}),
        measure=_inception_score,
        values=lambda score: {"is": score.mean, "is_std": score.deviation},
        enough=5000,
        caution="the inception score is biased downwards, and more with fewer images",
        headline="is",
        others=("is_std",),
        higher_is_better=True,
        interval=lambda score, deviation: {"is": around(score.mean, deviation, least=1.0)},
        bootstrap=intervals.inception_score_deviation,
    ),
    "spectrum": Metric(
        needs=frozenset({"spectrum"}),
        measure=_spectrum,
        values=SpectrumDifference.values,
        enough=100,
        caution="mean spectra are noisy",
        headline="spectrum",
        others=("window_grid",),
        interval=intervals.spectrum_intervals,
        plot=_plot_spectrum,
    ),
    "memorization": Metric(
        needs=frozenset({"features"}),
        measure=_neighbours,
        values=lambda found: {"authenticity": float(found.nearest.authentic.mean())},
        enough=1000,
        caution="authenticity is uncertain by several hundredths",
        headline="authenticity",
        higher_is_better=True,
        interval=lambda found, _: {"authenticity": wilson(found.nearest.authentic)},
        plot=_plot_memorization,
        plot_needs=frozenset({"samples"}),
        aliases=("authenticity",),
    ),
    "ppl": Metric(
        needs=frozenset(),
        measure=_ppl,
        values=lambda lengths: {"ppl_w": trimmed_mean(lengths.w), "ppl_z": trimmed_mean(lengths.z)},
        enough=1000,
        caution="a few long steps weigh heavily in PPL",
        headline="ppl_w",
        others=("ppl_z",),
        interval=intervals.path_length_intervals,
        check=_check_ppl,
        network=NetworkRecord(stlpips.WEIGHTS.network, stlpips.WEIGHTS.sha256),
        collective=True,
    ),
    "text": Metric(
        needs=frozenset(),
        measure=_text,
        values=TextFit.values,
        enough=1000,
        caution="R-precision varies by some hundredths",
        headline="r_precision",
        others=("r_precision_held_out", "r_precision_real", "r_precision_real_held_out", "r_precision_shuffled"),
        higher_is_better=True,
        interval=lambda found, _: {name: wilson(hits) for name, hits in found.hits().items()},
        check=_check_texts,
        aliases=("r_precision", "r-precision"),
        probed=("text_accuracy",),
        reads_reference=True,
        reads_detector=True,
    ),
    BY_CLASS: Metric(
        needs=frozenset({"features"}),
        measure=by_class,
        values=ByClass.values,
        enough=SMALL_CLASS,
        caution="FID inside a class says little",
        headline="intra_fid",
        interval=lambda found, _: found.intervals(),
        check=lambda context: check_by(context.labelled, BY_CLASS),
        aliases=("intra_fid", "intra-fid"),
    ),
    ACCURACY: Metric(
        needs=frozenset(),
        measure=label_accuracy,
        values=LabelAccuracy.values,
        enough=1000,
        caution="label accuracy is uncertain by several hundredths",
        headline="label_accuracy",
        families=("accuracy", "accuracy_of_reals", "r2", "r2_of_reals"),
        higher_is_better=True,
        interval=lambda found, _: found.intervals(),
        check=check_label_accuracy,
        aliases=("label_accuracy",),
        network=NetworkRecord(WEIGHTS.network, WEIGHTS.sha256),
        probed=("label_accuracy", "accuracy", "r2"),
        reads_reference=True,
    ),
}


def parse_metrics(text: str) -> list[str]:
    """Read a comma-separated list of metrics, such as "fid,kid,precision,recall", without repeats.

    Raises:
        UsageError: an unknown metric, or no metric.
    """
    known = ", ".join(METRICS)
    rows = {name: name for name in METRICS}
    rows |= {alias: name for name, metric in METRICS.items() for alias in metric.aliases}
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("--metric: no metric given", f"Choose from {known}.")
    for name in names:
        if name not in rows:
            raise UsageError(f'--metric: unknown metric "{name}"{did_you_mean(name, rows)}', f"Choose from {known}.")
    return list(dict.fromkeys(rows[name] for name in names))

"""Metrics that use labels: FID inside each class, and how often images show what was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.console import Advance
from swincli.errors import DataError
from swincli.metrics.confidence.intervals import Interval, around, fid_deviation, wilson
from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.metric import Context, Intervals, Values
from swincli.metrics.networks.attribute_probe import (
    Features,
    fit_classes,
    fit_numbers,
    probe_features,
    require_sklearn,
)
from swincli.metrics.streams.features import SideStatistics
from swincli.metrics.streams.labels import Labelled, as_names, check_by, check_labelled
from swincli.model.pretrained.efficientnet import WEIGHTS
from swincli.recipe.attributes import Attribute
from swincli.synthesis.latents.classes import labels_as_trained
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sampling import generate

BY_CLASS, ACCURACY = "fid-by-class", "label-accuracy"
FEWEST_OF_CLASS = 2  # images of a class on each side; FID of fewer is not defined
SMALL_CLASS = 200  # below, the FID of a class says little
MOST_PROBED = 5000  # real images that the classifiers are fitted and tested on
MOST_JUDGED = 2000  # generated images that they judge
_BATCH = 64


@dataclass(frozen=True, eq=False)
class ByClass:
    """Both sides divided by a class.

    Attributes:
        sides: Fakes and reals of each class by name.
        context: Seeds and shows the resampling.
        left_out: Classes with too few images.
    """

    sides: dict[str, tuple[SideStatistics, SideStatistics]]
    context: Context
    left_out: list[str]
    by: str

    def values(self) -> Values:
        """`intra_fid`, the mean over classes, and the FID of each."""
        each = {
            f"fid:{self.by}={name}": frechet_distance(_moments(fakes), _moments(reals))
            for name, (fakes, reals) in self.sides.items()
        }
        return {"intra_fid": float(np.mean(list(each.values()))) if each else float("nan"), **each}

    def intervals(self) -> Intervals:
        """95 % intervals: of each class by its bootstrap, of the mean by those of the classes."""
        found, spread, values = dict[str, Interval](), [], self.values()
        for name, (fakes, reals) in self.sides.items():
            key = f"fid:{self.by}={name}"
            deviation = fid_deviation(fakes, reals, self.context.seed, self.context.console) or 0.0
            found[key] = around(values[key], deviation, least=0.0)
            spread.append(deviation)
        mean = float(np.sqrt(np.square(spread).sum())) / max(1, len(spread))
        return {"intra_fid": around(values["intra_fid"], mean, least=0.0), **found}


def _moments(side: SideStatistics) -> Moments:
    assert side.moments is not None
    return side.moments


def by_class(fakes: SideStatistics, reals: SideStatistics, context: Context) -> ByClass:
    """Divide the features of both sides by the class that `--by-class` names; small classes are said."""
    assert context.labelled is not None
    assert fakes.features is not None
    assert reals.features is not None
    one = check_by(context.labelled, BY_CLASS)
    asked = as_names(one, context.labelled.of_fakes(one.name))
    have = as_names(one, context.labelled.of_reals(one.name))
    sides, left_out, small = {}, [], []
    for name in sorted({name for name in have if name is not None}):
        parts = [_part(fakes.features, asked, name), _part(reals.features, have, name)]
        counts = [len(part) for part in parts]
        if min(counts) < FEWEST_OF_CLASS:
            left_out.append(name)
            continue
        if min(counts) < SMALL_CLASS:
            small.append(f"{name} ({counts[0]} generated, {counts[1]} real)")
        first, second = (SideStatistics(len(part), Moments.from_features(part), part) for part in parts)
        sides[name] = first, second
    if small:
        context.console.warn(f"fid-by-class: under {SMALL_CLASS} images, FID says little: {', '.join(small)}")
    if left_out:
        context.console.warn(f"fid-by-class: too few images, left out: {', '.join(left_out)}")
    return ByClass(sides, context, left_out, one.name)


def _part(features: NDArray[np.float32], names: list[str | None], wanted: str) -> NDArray[np.float32]:
    return features[[name == wanted for name in names]]


@dataclass(frozen=True, eq=False)
class LabelAccuracy:
    """How well a classifier that was fitted on real images finds the labels.

    Attributes:
        hits: For each class and flag, whether the classifier finds what was asked for, bool [N].
        held_out: Its accuracy on real images that it has not seen.
        fits: R^2 of each number on generated images, and on held-out real ones.
    """

    hits: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)
    fits: dict[str, tuple[float, float]] = field(default_factory=dict)

    def values(self) -> Values:
        """`label_accuracy`, the mean over classes and flags, then each attribute on generated and on real images."""
        each = {name: (float(hits.mean()), self.held_out[name]) for name, hits in self.hits.items()}
        values = {"label_accuracy": float(np.mean([found for found, _ in each.values()]))} if each else {}
        values |= {f"accuracy:{name}": found for name, (found, _) in each.items()}
        values |= {f"accuracy_of_reals:{name}": real for name, (_, real) in each.items()}
        values |= {f"r2:{name}": found for name, (found, _) in self.fits.items()}
        return values | {f"r2_of_reals:{name}": real for name, (_, real) in self.fits.items()}

    def intervals(self) -> Intervals:
        """Wilson's intervals of the shares of generated images."""
        return {f"accuracy:{name}": wilson(hits) for name, hits in self.hits.items()}


def check_label_accuracy(context: Context) -> None:
    """Check that both sides have the same labels, and that there is what classifiers are fitted with.

    Raises:
        UsageError: as `check_labelled`.
        ResourceError: scikit-learn or the backbone's weights are not installed.
    """
    check_labelled(context.labelled, ACCURACY)
    require_sklearn()
    WEIGHTS.require()


def label_accuracy(fakes: SideStatistics, _: SideStatistics, context: Context) -> LabelAccuracy:
    """Fit a classifier for each attribute on real images, and judge generated ones by it.

    An attribute with too few real images to fit one is left out, with a warning.
    """
    labelled = check_labelled(context.labelled, ACCURACY)
    store, device = labelled.store, labelled.model.device
    picked = np.sort(np.random.default_rng((context.seed, 4)).permutation(len(store))[:MOST_PROBED])
    seeds = labelled.seeds[: min(fakes.count, MOST_JUDGED)]
    with context.console.progress("Label accuracy", len(picked) + len(seeds)) as advance:
        parts = [picked[start : start + _BATCH] for start in range(0, len(picked), _BATCH)]
        reals = probe_features(_counted((torch.from_numpy(store.fetch(part)) for part in parts), advance), device)
        drawn = generate(
            labelled.model, seeds, truncation=Truncation(context.truncation), labels=_labels(labelled, seeds)
        )
        judged = probe_features(_counted(drawn, advance), device)
    found = LabelAccuracy()
    for one in labelled.attributes:
        if one.kind.name in ("class", "flag", "number"):
            try:
                _probe(found, one, labelled, seeds, picked, reals, judged)
            except DataError as error:  # one value alone, or nearly
                context.console.warn(f"{ACCURACY}: {one.name} is left out: {error.message}")
    return found


def _probe(
    found: LabelAccuracy,
    one: Attribute,
    labelled: Labelled,
    seeds: range,
    picked: NDArray[np.int64],
    reals: Features,
    judged: Features,
) -> None:
    """Fit a classifier of one attribute, and note how it does on both sides.

    Raises:
        DataError: too few real images, or no generated ones, have values that can be told apart.
    """
    have, asked = labelled.of_reals(one.name)[picked], labelled.of_fakes(one.name, seeds)
    if one.kind.name == "number":
        probe = fit_numbers(reals, [None if np.isnan(value) else float(value) for value in have[:, 0]])
        known = _asked_for(~np.isnan(asked[:, 0]))
        target, guess = asked[known, 0], probe.scores(judged[known])[:, 0]
        spread = float(np.square(target - target.mean()).sum())
        r2 = 1 - float(np.square(target - guess).sum()) / spread if spread else float("nan")
        found.fits[one.name] = r2, probe.quality.accuracy
        return
    classes = fit_classes(reals, as_names(one, have))
    wanted = as_names(one, asked)
    known = _asked_for(np.array([name in classes.classes for name in wanted], bool))
    guesses = np.array(classes.predict(judged))
    found.hits[one.name] = np.array([str(name) for name in wanted])[known] == guesses[known]
    found.held_out[one.name] = classes.quality.accuracy


def _asked_for(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if not known.any():
        raise DataError("labels: no generated image was asked for a value that the classifier knows")
    return known


def _labels(labelled: Labelled, seeds: range) -> Tensor:
    labels = labels_as_trained(labelled.model, seeds)
    assert labels is not None
    return labels


def _counted(batches: Iterable[Tensor], advance: Advance) -> Iterator[Tensor]:
    for batch in batches:
        yield batch
        advance(len(batch))

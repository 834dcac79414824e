"""Scores from examples: pictures with and without something, of two folders or of labels, teach a probe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from swincli.data.images.rejected import ImageError
from swincli.data.sources import open_source
from swincli.data.sources.composed import is_composed
from swincli.data.store.reader import Store, is_store
from swincli.errors import DataError, UsageError, did_you_mean
from swincli.metrics.directions.generated import cached_arrays
from swincli.metrics.directions.label_aims import parse_aim, targets_of_images
from swincli.metrics.networks.attribute_probe import (
    BACKBONE,
    FEWEST,
    AttributeProbe,
    Features,
    fit_classes,
    fit_numbers,
    probe_features,
)
from swincli.metrics.streams.images import ImageSet, open_images
from swincli.model.discriminators.frozen_features import BACKBONES

MOST = 600  # pictures of a folder
MOST_REALS = 1500  # of a data set
RARE = 100  # pictures of a rare label: more of them are taken from the whole data set
_BATCH = 50
_YES, _NO = "yes", "no"


def probe_of_folders(positive: str, negative: str, size: int, device: torch.device) -> AttributeProbe:
    """A probe of pictures with something against pictures without it.

    Args:
        positive: A folder, an archive or a store of pictures with it.
        negative: The same without it.
        size: Side of the model's images; larger pictures are made that small first.
        device: Device of the backbone.

    Raises:
        DataError: one cannot be opened, has fewer than 4 pictures, or shares pictures with the other.
    """
    sides = []
    for option, text in (("--positive", positive), ("--negative", negative)):
        with open_images(text, size) as found:
            if found.count < FEWEST:
                raise DataError(f"{option} {text}: has {found.count} pictures; at least {FEWEST} are needed")
            sides.append(list(_pictures(found, _draw(np.arange(found.count), MOST), size)))
    digests = [{hashlib.sha256(picture.tobytes()).digest() for picture in side} for side in sides]
    shared = digests[0] & digests[1]
    if shared:
        raise DataError(
            f"--positive {positive}, --negative {negative}: {len(shared)} pictures are in both",
            "Each picture shows it or does not.",
        )
    for option, text, different in zip(("--positive", "--negative"), (positive, negative), digests, strict=True):
        if len(different) < FEWEST:
            raise DataError(
                f"{option} {text}: {len(different)} different pictures; at least {FEWEST} are needed",
                "Copies of one picture teach nothing.",
            )
    return _probe(sides[0], sides[1], device)


def probe_of_label(data: str, label: str, size: int, device: torch.device) -> AttributeProbe:
    """A probe of the pictures with a label against all others, or of a number. Unknown ones are left out.

    Args:
        data: A store with classes or attributes, or composed pictures such as `builtin:cats:5000`.
        label: A class, the name of a flag or a number, or NAME=VALUE of an attribute or a slot of composed pictures.
        size: As in `probe_of_folders`.
        device: Device of the backbone.

    Raises:
        UsageError: there is no such slot or label.
        DataError: the data cannot be opened, or too few pictures have the label.
    """
    targets, is_number = _targets(data, label)
    kinds = [~np.isnan(targets)] if is_number else [targets == 1, targets == 0]
    with open_images(data, size) as found:
        common = _draw(np.arange(found.count), MOST_REALS)
        rare = [_draw(np.setdiff1d(np.flatnonzero(kind), common), RARE) for kind in kinds if kind[common].sum() < RARE]
        chosen = np.concatenate([common, *rare])
        if is_number:
            _check_numbers(targets[chosen], label, data)
        else:
            _check_both(targets[chosen], label, data)
        features = [_cached_features(found, data, common, size, device)]
        features += [probe_features(_batches(list(_pictures(found, part, size))), device) for part in rare if len(part)]
    known = ~np.isnan(targets[chosen])
    together, values = np.concatenate(features)[known], targets[chosen][known]
    if is_number:
        return fit_numbers(together, values.tolist())
    return fit_classes(together, np.where(values == 1, _YES, _NO).tolist())


def _check_both(targets: NDArray[np.float64], label: str, data: str) -> None:
    have, lack = int((targets == 1).sum()), int((targets == 0).sum())
    if min(have, lack) < FEWEST:
        raise DataError(
            f"--label {label}: {have} pictures of {data} have it and {lack} do not",
            f"At least {FEWEST} of both are needed.",
        )


def _check_numbers(targets: NDArray[np.float64], label: str, data: str) -> None:
    known = targets[~np.isnan(targets)]
    if len(known) < 2 * FEWEST or len(np.unique(known)) < 2:
        raise DataError(
            f"--label {label}: {len(known)} pictures of {data} have a number",
            f"At least {2 * FEWEST} with numbers that differ are needed.",
        )


def features_of_reals(data: str, size: int, device: torch.device) -> Features:
    """Features of at most 1,500 real images, `[M, D]`.

    Raises:
        DataError: they cannot be opened.
        ResourceError: the backbone's weights are not installed.
    """
    with open_images(data, size) as found:
        return _cached_features(found, data, _draw(np.arange(found.count), MOST_REALS), size, device)


def linear_score(probe: AttributeProbe) -> tuple[NDArray[np.float64], float]:
    """Weights `[D]` and bias of the log odds of "yes", or of the number."""
    if not probe.classes:
        return probe.weights[0], float(probe.bias[0])
    yes, no = probe.classes.index(_YES), probe.classes.index(_NO)
    return probe.weights[yes] - probe.weights[no], float(probe.bias[yes] - probe.bias[no])


def _probe(
    positive: Sequence[NDArray[np.uint8]], negative: Sequence[NDArray[np.uint8]], device: torch.device
) -> AttributeProbe:
    pictures = [*positive, *negative]
    features = probe_features(_batches(pictures), device)
    return fit_classes(features, [_YES] * len(positive) + [_NO] * len(negative))


def _batches(pictures: Sequence[NDArray[np.uint8]]) -> Iterator[Tensor]:
    for start in range(0, len(pictures), _BATCH):
        yield torch.from_numpy(np.stack(pictures[start : start + _BATCH]))


def _pictures(images: ImageSet, indices: NDArray[np.int64], size: int) -> Iterator[NDArray[np.uint8]]:
    """Pictures as the model would show them: the central square at the model's size."""
    for load in images.read(indices):
        picture = load()
        height, width = picture.shape[:2]
        if (height, width) == (size, size):
            yield picture
            continue
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        square = Image.fromarray(picture).crop((left, top, left + side, top + side))
        yield np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


def _draw(indices: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of some indices, drawn evenly and always the same, sorted."""
    return np.sort(np.random.default_rng(0).permutation(indices)[:most])


def _cached_features(
    images: ImageSet, data: str, indices: NDArray[np.int64], size: int, device: torch.device
) -> Features:
    """Features of some pictures; of stores and composed pictures they are kept in the cache."""
    weights = BACKBONES[BACKBONE].weights
    weights.require()
    if not is_store(data) and not is_composed(data):
        return probe_features(_batches(list(_pictures(images, indices, size))), device)
    content = data if is_composed(data) else images.content_hash(_silent)
    key = hashlib.sha256(f"{content} {size} {len(indices)} {weights.sha256}".encode()).hexdigest()[:16]

    def compute() -> dict[str, NDArray[Any]]:
        return {"features": probe_features(_batches(list(_pictures(images, indices, size))), device)}

    return cached_arrays(Path("pictures", f"{key}.npz"), {"features": len(indices)}, compute)["features"]


def _targets(data: str, label: str) -> tuple[NDArray[np.float64], bool]:
    """What every picture has, in the order of `open_images`: 1 or 0, or a number; unknown NaN. True for numbers."""
    if is_store(data):
        store = Store.open(data)
        classes = store.manifest.label_names if store.labels is not None else None
        if store.attributes is not None and label not in (classes or ()):
            aim = parse_aim(store.attributes.each, label, data)
            return targets_of_images(store.attributes, aim), aim.value is None
        if store.labels is None or classes is None:
            raise UsageError(f"--data {data}: the store has no labels", "Prepare it with `--labels`.")
        slot, equals, _ = label.partition("=")
        if equals and label not in classes:
            raise UsageError(f"--label {slot}=...: {data} has classes without a name", "Give --label VALUE.")
        return _matching([classes[each] for each in store.labels], label, data), False
    if not is_composed(data):
        raise UsageError(f"--data {data}: neither a store nor composed pictures", "Prepare a store with `--labels`.")
    slot, equals, value = label.partition("=")
    with open_source(data) as source:
        if not equals:
            raise UsageError("--label: composed pictures have a label a slot", "For example --label eyes=glasses")
        try:
            content = source.read_file(f"{slot}.json")
        except (KeyError, ImageError):
            raise UsageError(f"--label {slot}=...: {data} has no such slot", "See docs/guides/data.md.") from None
        by_name = dict(json.loads(content)["labels"])
        return _matching([str(by_name[entry.name]) for entry in source], value, data), False


def _matching(labels: Sequence[str], value: str, data: str) -> NDArray[np.float64]:
    """1 for the pictures with a label and 0 for others."""
    names = sorted(set(labels))
    if value not in names:
        shown = ", ".join(names[:20])
        raise UsageError(f"--label {value}: {data} has no such label{did_you_mean(value, names)}", f"It has {shown}.")
    return np.array([float(label == value) for label in labels])


def _silent(count: int = 1) -> None:
    """Progress that is not shown."""

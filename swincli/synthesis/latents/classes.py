"""Which class an image is of: asked for, drawn for a seed, or by the row of a grid."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.named_images import NamedImages

_PURPOSE = zlib.crc32(b"class")  # keeps these draws apart from all others that a seed may start


def draw_labels(seeds: Sequence[int], shares: Sequence[float]) -> Tensor:
    """One label for every seed, int64 `[N]`: label l with probability `shares[l]`, whatever the other seeds are."""
    chances = [np.random.default_rng((seed, _PURPOSE)).random() for seed in seeds]
    ends = np.cumsum(shares)
    labels = np.searchsorted(ends / ends[-1], chances, side="right")
    return torch.from_numpy(labels.astype(np.int64))


def labels_as_trained(model: Model, seeds: Sequence[int]) -> Tensor | None:
    """One label for every seed, as often as among the training images; None for an unconditional model."""
    return draw_labels(seeds, model.classes.shares) if model.classes else None


def name_images(model: Model, seeds: list[int], text: str | None) -> NamedImages:
    """Images of seeds: seed-000012, of a class drawn from all alike or of the one that `text` names.

    Where `text` names several, each seed gives an image of every class, class by class: seed-000012-class-003.

    Raises:
        UsageError: the model has no such class, or none at all.
    """
    classes = model.classes
    if classes is None:
        if text is not None:
            raise UsageError(f"--class {text}: {model.path} is of a model without classes", "Leave --class out.")
        return _of_seeds(seeds, [f"seed-{seed:06d}" for seed in seeds], [f"seed {seed}" for seed in seeds])
    chosen = classes.find(text) if text is not None else []
    labels = torch.tensor(chosen).repeat_interleave(len(seeds)) if chosen else draw_labels(seeds, classes.even)
    repeated, numbers = seeds * max(1, len(chosen)), labels.tolist()
    names = [classes.names[label] for label in numbers]
    stems = [f"seed-{seed:06d}" for seed in repeated]
    if len(chosen) > 1:
        stems = [f"{stem}-class-{label:03d}" for stem, label in zip(stems, numbers, strict=True)]
    captions = [f"seed {seed}, {class_caption(model, label)}" for seed, label in zip(repeated, numbers, strict=True)]
    return replace(_of_seeds(repeated, stems, captions), labels=labels, class_names=names)


def _of_seeds(seeds: list[int], stems: list[str], captions: list[str]) -> NamedImages:
    return NamedImages(stems, [f"seed={seed}" for seed in seeds], captions, seeds)


def class_caption(model: Model, label: int) -> str:
    """The name of a conditional model's class where it is ASCII, else its number: for pictures, whose font knows no
    more."""
    assert model.classes is not None
    name = model.classes.names[label]
    return name if name.isascii() else f"class {label}"


def labels_by_row(rows: int, classes: int) -> list[int]:
    """The class of every row of a grid: in order, each on as many rows; some only, where there are more than rows."""
    return [row * classes // rows for row in range(rows)]


def seeds_by_row(labels: Sequence[int], columns: int) -> list[list[int]]:
    """Seeds of a grid's rows: 0 to columns - 1 in a class's first row, the next ones in its second, and so on.

    A column thus shows one z in every class.
    """
    ranks = [list(labels[:row]).count(label) for row, label in enumerate(labels)]
    return [list(range(rank * columns, (rank + 1) * columns)) for rank in ranks]

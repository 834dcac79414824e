"""Class labels: drawn for seeds, or set by the rows of a grid; and class names for figures."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.synthesis.latents.attributes import draw_attributes

_PURPOSE = zlib.crc32(b"class")  # separates these draws from the other random numbers of a seed


def draw_labels(seeds: Sequence[int], shares: Sequence[float]) -> Tensor:
    """One label per seed, int64 `[N]`: label l with probability `shares[l]`, independent of the other seeds."""
    chances = [np.random.default_rng((seed, _PURPOSE)).random() for seed in seeds]
    ends = np.cumsum(shares)
    labels = np.searchsorted(ends / ends[-1], chances, side="right")
    return torch.from_numpy(labels.astype(np.int64))


def labels_as_trained(model: Model, seeds: Sequence[int]) -> Tensor | None:
    """Labels per seed, as frequent as among the training images, `[N]` or `[N, columns]`; None if unconditional."""
    if model.attributes is not None:
        return draw_attributes(model.attributes, seeds)
    return draw_labels(seeds, model.classes.shares) if model.classes else None


def class_caption(model: Model, label: int) -> str:
    """The class name if it is ASCII, else "class NUMBER": the font of the figures has ASCII only."""
    assert model.classes is not None
    name = model.classes.names[label]
    return name if name.isascii() else f"class {label}"


def labels_by_row(rows: int, classes: int) -> list[int]:
    """The class of each grid row: in order, evenly spread. With more classes than rows, some classes are skipped."""
    return [row * classes // rows for row in range(rows)]


def seeds_by_row(labels: Sequence[int], columns: int) -> list[list[int]]:
    """Seeds of each grid row: 0 to columns - 1 in the first row of a class, the next ones in its second row, and so on.

    A column therefore shows the same z in every class.
    """
    ranks = [list(labels[:row]).count(label) for row, label in enumerate(labels)]
    return [list(range(rank * columns, (rank + 1) * columns)) for rank in ranks]

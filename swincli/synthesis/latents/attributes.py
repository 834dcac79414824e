"""Attributes of seeds: what is set, and the rest drawn from training images, so that it occurs together as there."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.model.files.attributes import Attributes

_PURPOSE = zlib.crc32(b"attributes")  # separates these draws from the other random numbers of a seed
_CLOSE = 0.05  # rows that are farther from what is set than the closest one by at most this are as good
_UNKNOWN = 0.5  # distance of an unknown value from a set one


def draw_attributes(
    attributes: Attributes, seeds: Sequence[int], settings: Mapping[str, Tensor] | None = None
) -> Tensor:
    """One row of labels per seed, float32 `[N, columns]` on the CPU.

    The row of a training image is drawn for each seed, among those that agree with the settings, or among the closest
    ones if none does. Then the settings replace its values. A row does not depend on the other seeds.

    Args:
        attributes: The model's attributes.
        seeds: N seeds.
        settings: Columns of some attributes by name, `[C]`.
    """
    settings = settings or {}
    candidates = _candidates(attributes, settings)
    chances = np.array([np.random.default_rng((seed, _PURPOSE)).random() for seed in seeds])
    rows = attributes.rows[torch.from_numpy(candidates[(chances * len(candidates)).astype(np.int64)])].clone()
    for name, columns in settings.items():
        rows[:, attributes.places[name]] = columns
    return rows


def _candidates(attributes: Attributes, settings: Mapping[str, Tensor]) -> NDArray[np.int64]:
    """Indices of the rows that are as close to the settings as any, in their order."""
    apart = label_distances(attributes, attributes.rows, settings)
    found: NDArray[np.int64] = torch.nonzero(apart <= apart.min() + _CLOSE).flatten().numpy()
    return found


def label_distances(attributes: Attributes, rows: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
    """How far rows of labels `[R, columns]` are from settings: a point for each other class, flag or one of several,
    and the difference of numbers.
    """
    apart = torch.zeros(len(rows))
    for name, columns in settings.items():
        if not columns.isnan().any():
            own = rows[:, attributes.places[name]]
            distance = _DISTANCES[attributes.kinds[name].name](own, columns)
            apart += torch.where(own.isnan().any(dim=1), _UNKNOWN, distance)
    return apart


_DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "class": lambda rows, columns: (rows != columns).float().sum(dim=1),
    "flag": lambda rows, columns: (rows != columns).float().sum(dim=1),
    "number": lambda rows, columns: (rows - columns).abs().sum(dim=1),
    "several": lambda rows, columns: (rows != columns).float().sum(dim=1),
    "text": lambda rows, columns: (1 - rows @ columns) / 2,
}
"""How far values `[R, C]` of a kind are from one, `[C]`."""


def distinct_rows(attributes: Attributes, most: int) -> Tensor:
    """The first different rows of training images, `[at most most, columns]`."""
    seen: dict[bytes, int] = {}
    for index, row in enumerate(attributes.rows.nan_to_num(nan=-1.0)):
        seen.setdefault(row.numpy().tobytes(), index)
        if len(seen) == most:
            break
    return attributes.rows[list(seen.values())]

"""Attributes of the images of a store: `attributes.npy`, float32 [images, columns], with NaN for unknown values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.npy_header import HEADER_BYTES
from swincli.data.store.shards import RESTORE_HINT, check_npy
from swincli.errors import DataError
from swincli.recipe.attributes import Attribute, columns_by_name


@dataclass(frozen=True)
class AttributeValues:
    """The attributes of images.

    Attributes:
        each: The attributes in the order of their columns.
        values: float32 [images, columns], as `recipe.attributes.KINDS` says; numbers are as they were given.
    """

    each: tuple[Attribute, ...]
    values: NDArray[np.float32]

    @property
    def places(self) -> dict[str, slice]:
        """The columns of each attribute, by name."""
        return columns_by_name({one.name: one.kind for one in self.each})

    def of(self, name: str) -> NDArray[np.float32]:
        """The columns of one attribute, float32 [images, C]."""
        return self.values[:, self.places[name]]

    def take(self, rows: slice | NDArray[np.int64]) -> Self:
        """The attributes of some of the images, with the number of missing ones among them."""
        values, places = self.values[rows], self.places
        each = [replace(one, missing=int(np.isnan(values[:, places[one.name]][:, 0]).sum())) for one in self.each]
        return replace(self, each=tuple(each), values=values)

    def hashed(self) -> bytes:
        """What the content hash of a store takes: names, kinds, values, ranges and all columns."""
        plain = [{key: value for key, value in one.as_dict().items() if key != "missing"} for one in self.each]
        return f"attributes {json.dumps(plain, sort_keys=True)}".encode() + self.stored()

    def stored(self) -> bytes:
        """The columns as little-endian float32; every NaN has the same bits."""
        return np.where(np.isnan(self.values), np.float32("nan"), self.values).astype("<f4").tobytes()


def read_attributes(path: Path, each: Sequence[Attribute], images: int) -> AttributeValues:
    """Read `attributes.npy`.

    Raises:
        DataError: it is missing, cut short or of another shape, or holds what the attributes do not allow.
    """
    columns = sum(one.kind.columns for one in each)
    check_npy(path, (images, columns), "<f4")
    values = np.fromfile(path, "<f4", offset=HEADER_BYTES).astype(np.float32, copy=False).reshape(images, columns)
    found = AttributeValues(tuple(each), values)
    for one in each:
        here = found.of(one.name)
        if not np.all(_allowed(one, here) | np.isnan(here)):
            raise DataError(f"{path} is damaged: a value of {one.name} that it cannot have", RESTORE_HINT)
    return found


def _allowed(one: Attribute, values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which values of an attribute's columns are possible."""
    if one.kind.name == "number":
        return np.asarray((values >= np.float32(one.low)) & (values <= np.float32(one.high)))
    if one.kind.name == "text":
        return np.isfinite(values)
    most = one.kind.size - 1 if one.kind.name == "class" else 1
    return np.isin(values, np.arange(most + 1, dtype=np.float32))

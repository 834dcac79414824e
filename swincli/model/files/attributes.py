"""The attributes of a model: their names, values and ranges, and a sample of what training images have together."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from swincli.model.files.known_texts import KnownTexts
from swincli.recipe.attributes import Attribute, Kind, columns_by_name

MOST_ROWS = 2048
_EXACT_IN_HALF = 2048  # the largest number up to which float16 has every whole number


@dataclass(frozen=True)
class Attributes:
    """What a model knows of its attributes.

    Attributes:
        each: The attributes in the order of their columns.
        rows: Labels of some training images, float32 `[R, columns]` on the CPU, numbers from 0 to 1, unknown NaN.
        texts: What is known of texts; None without an attribute of texts.
    """

    each: tuple[Attribute, ...]
    rows: Tensor
    texts: KnownTexts | None = None

    def __post_init__(self) -> None:
        columns = sum(kind.columns for kind in self.kinds.values())
        if not self.each or self.rows.ndim != 2 or not len(self.rows) or self.rows.shape[1] != columns:
            raise ValueError(f"the labels of training images must have {columns} columns")

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each attribute, by name."""
        return {one.name: one.kind for one in self.each}

    @property
    def places(self) -> dict[str, slice]:
        """The columns of each attribute, by name."""
        return columns_by_name(self.kinds)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the metadata of a file; the rows as text, in float16 if that holds every class."""
        large = any(one.kind.name == "class" and one.kind.size > _EXACT_IN_HALF for one in self.each)
        rows = self.rows.numpy().astype("<f4" if large else "<f2")
        packed = {"dtype": rows.dtype.str, "count": len(rows), "base64": base64.b64encode(rows.tobytes()).decode()}
        plain = {"each": [one.as_dict() for one in self.each], "rows": packed}
        return plain if self.texts is None else {**plain, "texts": self.texts.as_dict()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Attributes:
        """What `as_dict` has written. Raises KeyError, TypeError or ValueError if it is damaged."""
        packed = plain["rows"]
        if packed["dtype"] not in ("<f2", "<f4"):
            raise ValueError("rows of an unknown type")
        values = np.frombuffer(base64.b64decode(packed["base64"], validate=True), packed["dtype"])
        rows = torch.from_numpy(values.astype(np.float32).reshape(int(packed["count"]), -1))
        texts = KnownTexts.from_dict(plain["texts"]) if "texts" in plain else None
        return cls(tuple(map(Attribute.from_dict, plain["each"])), rows, texts)

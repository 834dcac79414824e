"""Stores whose images have attributes, for tests: colours that the attributes say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from swincli.data.store.attribute_values import AttributeValues
from swincli.data.store.reader import Store
from swincli.data.store.store_writer import StoreWriter
from swincli.recipe.attributes import Attribute, Kind

EACH = (
    Attribute("size", Kind("number"), low=10.0, high=30.0, missing=1),
    Attribute("colour", Kind("class", 3), ("red", "green", "blue")),
    Attribute("dark", Kind("flag"), missing=1),
    Attribute("tags", Kind("several", 2), ("left", "right")),
)
ATTRIBUTES = "model.attributes={colour = 3, dark = 'flag', size = 'number', tags = 'several:2'}"
FACTS = {
    "crop": "center", "filter": "lanczos", "source": "test", "max_images": None, "dedupe": None, "upscaled": 0,
    "label_names": None, "rejected": [], "credit": None, "versions": {},
}  # fmt: skip


def attribute_rows(images: int) -> np.ndarray:
    """float32 [images, 5] in the order of `EACH`; the first image's number and the last one's flag are unknown."""
    number = np.arange(images, dtype=np.float32)
    rows = np.stack([10 + number % 21, number % 3, number // 3 % 2, number % 2, number // 2 % 2], axis=1)
    rows[0, 0] = rows[-1, 2] = np.nan
    return rows.astype(np.float32)


def make_attribute_store(path: Path, images: int = 24) -> Store:
    """A store of 16 px images; the colour is the brightest channel."""
    rows, random = attribute_rows(images), np.random.default_rng(0)
    path.mkdir()
    with StoreWriter(path, 16) as writer:
        for row in rows:
            pixels = random.integers(0, 60, (16, 16, 3), dtype=np.uint8)
            pixels[..., int(row[1])] += 100
            writer.add(pixels)
        writer.finish(None, FACTS, AttributeValues(EACH, rows))
    return Store.open(path)

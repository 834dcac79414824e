"""Stores whose images have captions, for tests: a brightest colour and a side, which the captions say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from attribute_stores import FACTS

from swincli.data.store.attribute_values import AttributeValues
from swincli.data.store.captions import Captions, make_captions
from swincli.data.store.reader import Store
from swincli.data.store.store_writer import StoreWriter
from swincli.model.pretrained import sentences
from swincli.recipe.attributes import Attribute, Kind

COLOURS, SIDES = ("red", "green", "blue"), ("left", "right")
WORDS = (*COLOURS, *SIDES, "square", "a", "on", "the")
TEXTS = f"model.attributes={{caption = 'text:{len(WORDS)}'}}"


class WordEncoder:
    """Which words a text has, as a vector of length 1."""

    name, sha256 = sentences.NAME, sentences.WEIGHTS.sha256

    def encode(self, texts: list[str], *_: object) -> np.ndarray:
        counts = np.array([[word in text.split() for word in WORDS] for text in texts], np.float32) + 0.01
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    def too_long(self, texts: list[str]) -> list[str]:  # noqa: ARG002
        return []


def picture(colour: int, side: int, random: np.random.Generator, size: int = 16) -> np.ndarray:
    """A square of a colour on the left or on the right half."""
    pixels = random.integers(0, 40, (size, size, 3), dtype=np.uint8)
    half = size // 2
    pixels[half // 2 : size - half // 2, side * half : (side + 1) * half, colour] += 200
    return pixels


def captions_of(pairs: list[tuple[int, int]]) -> Captions:
    """Two captions an image: with the side and without it."""
    texts = [(f"a {COLOURS[c]} square on the {SIDES[s]}", f"a {COLOURS[c]} square") for c, s in pairs]
    encoder, flat = WordEncoder(), sorted({text for each in texts for text in each})
    vectors = dict(zip(flat, encoder.encode(flat), strict=True))
    return make_captions(texts, vectors, encoder.name, encoder.sha256)


EACH = (
    Attribute("shade", Kind("class", 3), COLOURS),
    Attribute("right", Kind("flag")),
    Attribute("age", Kind("number"), low=0.0, high=1.0),
)


def text_store(
    path: Path, pairs: list[tuple[int, int]] | None = None, captions: Captions | None = None, *, labelled: bool = False
) -> Store:
    """A store of 16 px images of pairs of a colour and a side, by default 24 images of all pairs.

    With `labelled`, both are attributes too.
    """
    pairs = pairs or [(number % 3, number // 3 % 2) for number in range(24)]
    random = np.random.default_rng(0)
    path.mkdir()
    with StoreWriter(path, 16) as writer:
        for colour, side in pairs:
            writer.add(picture(colour, side, random))
        rows = np.array([[colour, side, 0.5] for colour, side in pairs], np.float32)
        values = AttributeValues(EACH, rows) if labelled else None
        writer.finish(None, FACTS, values, captions or captions_of(pairs))
    return Store.open(path)

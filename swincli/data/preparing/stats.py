"""Taking stock of images that exist: a store, or a source as it would be prepared. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swincli.console import Console
from swincli.data.images.channel_stats import Channels
from swincli.data.images.perceptual_hash import fingerprint
from swincli.data.preparing.dedupe import Duplicates
from swincli.data.preparing.ingest import Limits, gather
from swincli.data.preparing.labels import read_labels
from swincli.data.preparing.options import PrepareOptions, make_plan
from swincli.data.preparing.seen import Seen
from swincli.data.preparing.survey import Survey
from swincli.data.preparing.workers import Fit
from swincli.data.sources import open_source
from swincli.data.sources.entries import Entry, Source
from swincli.data.store.codecs import encode
from swincli.data.store.reader import Store, is_store

_AT_A_TIME = 64


@dataclass(frozen=True)
class Stock:
    """What there is.

    Attributes:
        path: Where.
        fit: What pictures became to be measured; as they are, in a store.
        content_hash: Of a store.
        survey: Counts, and what is of no use; duplicates are counted among it.
        channels: Mean and deviation of what is of use.
    """

    path: str
    fit: Fit
    content_hash: str | None
    survey: Survey
    channels: Channels

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "path": self.path,
            "images": self.survey.kept,
            "resolution": self.fit.resolution,
            "content_hash": self.content_hash,
            "mean": self.channels.mean,
            "std": self.channels.std,
            "duplicates": [[seen.same_as, seen.name] for seen in self.survey.duplicates],
            "rejected": [{"source": seen.name, "reason": seen.reason} for seen in self.survey.left_out],
            **self.survey.as_json(),
        }


def take_stock(text: str, options: PrepareOptions, console: Console) -> Stock:
    """Look at every image of a store, or at every picture of a source as `prepare` would with these options.

    Args:
        text: A store, or anything that `open_source` takes.
        options: Of a store only `dedupe` counts: which duplicates are looked for.
        console: Shows how far it has come.

    Raises:
        UsageError: options that cannot be.
        DataError: nothing is there, it is damaged, or it holds no usable picture.
    """
    return _of_store(text, options, console) if is_store(text) else _of_source(text, options, console)


def _of_store(text: str, options: PrepareOptions, console: Console) -> Stock:
    store, survey, channels = Store.open(Path(text)), Survey(), Channels()
    names = store.manifest.label_names
    known = Duplicates(options.dedupe)
    blank = Seen("", width=store.resolution, height=store.resolution, mode="RGB")
    with console.progress("Looking", len(store)) as advance:
        for start in range(0, len(store), _AT_A_TIME):
            batch = store.fetch(np.arange(start, min(start + _AT_A_TIME, len(store))))
            for place, pixels in enumerate(batch, start=start):
                look = fingerprint(pixels) if options.dedupe == "near" else None
                label = None if store.labels is None or names is None else names[int(store.labels[place])]
                seen = replace(blank, name=_name(place), label=label, place=place)
                if twin := known.find(seen.name, pixels, look):
                    seen = replace(seen, same_as=twin[0], reason=twin[1], place=None)
                else:
                    channels.add(pixels)
                survey.add(seen)
            advance(len(batch))
    return Stock(text, Fit(store.resolution, crop="none"), store.content_hash, survey, channels)


def _of_source(text: str, options: PrepareOptions, console: Console) -> Stock:
    plan, survey, counting = make_plan(replace(options, split=None)), Survey(), _Counting()
    with open_source(text, options.resolution) as source:
        labels = None if options.labels is None else read_labels(options.labels, source)
        limits = Limits(options.max_images, options.stop_on_error, options.dedupe, options.workers)
        gather(source, labels, plan, limits, {"": counting}, survey.add, console)
    return Stock(text, plan.fit, None, survey, counting.channels)


class _Counting:
    """Takes images, and keeps only sums over them; see `writers.Taker`."""

    def __init__(self) -> None:
        self.images = 0
        self.channels = Channels()

    def add(self, pixels: NDArray[np.uint8], encoded: bytes | None = None) -> None:  # noqa: ARG002
        self.images += 1
        self.channels.add(pixels)


def open_stock(text: str, resolution: int) -> Source:
    """What was looked at as entries, to be read once more; a store's are PNG files."""
    if not is_store(text):
        return open_source(text, resolution)
    store = Store.open(Path(text))
    return Source(text, [Entry(_name(place), partial(_as_png, store, place)) for place in range(len(store))])


def _name(place: int) -> str:
    return f"image {place:,}"


def _as_png(store: Store, place: int) -> bytes:
    return encode(store.fetch(np.array([place]))[0], "png")

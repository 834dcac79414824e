"""`--stats`: mean, standard deviation, counts and duplicates of a store, or of a source as it would be prepared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swincli.console import Console
from swincli.data.images.perceptual_hash import perceptual_hash
from swincli.data.preparing.attribute_kinds import encode_columns, wanted_attributes
from swincli.data.preparing.captions import wanted_captions
from swincli.data.preparing.decode_crop import DecodeOptions, pixel_digest
from swincli.data.preparing.dedupe import DuplicateFinder
from swincli.data.preparing.ingest import IngestOptions, ingest
from swincli.data.preparing.labels import wanted_labels
from swincli.data.preparing.options import PrepareOptions, make_plan
from swincli.data.preparing.survey import SourceRecord, Survey
from swincli.data.sources import open_source
from swincli.data.sources.entries import Entry, Source
from swincli.data.store.codecs import encode
from swincli.data.store.reader import Store, is_store
from swincli.recipe.attributes import Attribute

_BATCH = 64  # images read from a store at a time
_FREQUENT = 5


class ChannelStats:
    """Mean and standard deviation of each channel, exact, in one pass.

    The sums are integers, so the order and grouping of the images do not change the result.
    """

    def __init__(self) -> None:
        self._pixels = 0
        self._sums = [0, 0, 0]
        self._squares = [0, 0, 0]

    def add(self, images: NDArray[np.uint8]) -> None:
        """Add images, uint8 [..., H, W, 3]."""
        for channel in range(3):
            counts = np.bincount(images[..., channel].ravel(), minlength=256).tolist()
            self._sums[channel] += sum(value * count for value, count in enumerate(counts))
            self._squares[channel] += sum(value * value * count for value, count in enumerate(counts))
        self._pixels += images.size // 3

    @property
    def mean(self) -> list[float]:
        """Mean of red, green and blue, from 0 to 1."""
        return [total / self._pixels / 255 for total in self._sums]

    @property
    def std(self) -> list[float]:
        """Standard deviation of red, green and blue over all pixels, in the same scale."""
        variances = [
            (square * self._pixels - total * total) / self._pixels**2
            for total, square in zip(self._sums, self._squares, strict=True)
        ]
        return [variance**0.5 / 255 for variance in variances]


@dataclass(frozen=True)
class CaptionCounts:
    """Counts of captions.

    Attributes:
        different: Number of different captions.
        all: Number of captions of all images together.
        fewest, most: Captions of an image.
        longest: Words of the longest caption.
        frequent: The most frequent ones with their images.
        encoder: Name of the encoder of a store's captions; None for a source.
    """

    different: int
    all: int
    fewest: int
    most: int
    longest: int
    frequent: list[tuple[str, int]]
    encoder: str | None = None


def count_captions(of_images: Iterable[Sequence[str]], encoder: str | None = None) -> CaptionCounts:
    """Count the captions of images, one image at least."""
    each = list(of_images)
    counted = Counter(text for texts in each for text in texts)
    numbers = list(map(len, each))
    longest = max(len(text.split()) for text in counted)
    return CaptionCounts(
        len(counted), counted.total(), min(numbers), max(numbers), longest, counted.most_common(_FREQUENT), encoder
    )


@dataclass(frozen=True)
class DatasetStats:
    """Statistics of a store or a source.

    Attributes:
        path: The store or source as typed.
        decode: How pictures became the images that were measured; of a store, only the resolution counts.
        content_hash: Content hash of a store; None for a source.
        survey: Counts. Duplicates are counted as skipped.
        channels: Mean and standard deviation of the images that were not skipped.
        attributes: The attributes of the images, duplicates included.
        captions: Counts of the captions; None without captions.
    """

    path: str
    decode: DecodeOptions
    content_hash: str | None
    survey: Survey
    channels: ChannelStats
    attributes: tuple[Attribute, ...] = ()
    captions: CaptionCounts | None = None

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "path": self.path,
            "images": self.survey.kept,
            "resolution": self.decode.resolution,
            "content_hash": self.content_hash,
            "mean": self.channels.mean,
            "std": self.channels.std,
            "duplicates": [[record.same_as, record.name] for record in self.survey.duplicates],
            "rejected": [{"source": record.name, "reason": record.reason} for record in self.survey.skipped],
            **({"attributes": [one.as_dict() for one in self.attributes]} if self.attributes else {}),
            **self.survey.as_json(),
            **({} if self.captions is None else {"captions": asdict(self.captions)}),
        }


def dataset_stats(source: Source, options: PrepareOptions, console: Console) -> DatasetStats:
    """Measure every image of a store, or every picture of a source as `prepare` would make it. Nothing is written.

    Args:
        source: A store or a source, opened with `open_dataset`.
        options: For a store, only `dedupe` has an effect.
        console: Shows progress.

    Raises:
        UsageError: An option is invalid.
        DataError: The store or source is damaged, or has no usable picture.
    """
    text = source.text
    return _store_stats(text, options, console) if is_store(text) else _source_stats(source, options, console)


def _store_stats(text: str, options: PrepareOptions, console: Console) -> DatasetStats:
    store, survey, channels = Store.open(Path(text)), Survey(), ChannelStats()
    names = store.manifest.label_names
    finder = DuplicateFinder(options.dedupe)
    blank = SourceRecord("", width=store.resolution, height=store.resolution, mode="RGB")
    with console.progress("Measuring", len(store)) as advance:
        for start in range(0, len(store), _BATCH):
            batch = store.fetch(np.arange(start, min(start + _BATCH, len(store))))
            for place, pixels in enumerate(batch, start=start):
                hashed = perceptual_hash(pixels) if options.dedupe == "near" else None
                label = None if store.labels is None or names is None else names[int(store.labels[place])]
                record = replace(blank, name=_image_name(place), label=label, place=place)
                if duplicate := finder.find(record.name, pixel_digest(pixels), hashed):
                    record = replace(record, same_as=duplicate[0], reason=duplicate[1], place=None)
                else:
                    channels.add(pixels)
                survey.add(record)
            advance(len(batch))
    survey.generated.update(store.manifest.generated or {})
    captions, decode = None, DecodeOptions(store.resolution, crop="none")
    attributes = tuple(store.manifest.attribute_list())
    if store.captions is not None:
        captions = count_captions(map(store.captions.of, range(len(store))), store.captions.facts.encoder)
    return DatasetStats(text, decode, store.content_hash, survey, channels, attributes, captions)


def _source_stats(source: Source, options: PrepareOptions, console: Console) -> DatasetStats:
    plan, survey, sink = make_plan(replace(options, split=None, hold_out=None)), Survey(), _StatsSink()
    labels = wanted_labels(options.labels, source, console, attributes=bool(options.label_kinds))
    typed = wanted_attributes(labels, options, console)
    named = labels if isinstance(labels, dict) else None
    captions = wanted_captions(options.captions, source, named or typed, console, options.word_dropout)
    limits = IngestOptions(options.max_images, options.stop_on_error, options.dedupe, options.workers)
    parts, _ = ingest(source, named, captions, plan, limits, {"": sink}, survey.add, console)
    found = None if typed is None else encode_columns(typed.columns.only(parts[""].names), typed.kinds, console)
    attributes = () if found is None else found.each
    counts = None if captions is None else count_captions(parts[""].captions)
    return DatasetStats(source.text, plan.decode, None, survey, sink.channels, attributes, counts)


class _StatsSink:
    """Adds images to `ChannelStats`; see `ImageSink`."""

    def __init__(self) -> None:
        self.images = 0
        self.channels = ChannelStats()

    def add(self, pixels: NDArray[np.uint8], encoded: bytes | None = None) -> None:  # noqa: ARG002
        self.images += 1
        self.channels.add(pixels)


def open_dataset(text: str, resolution: int) -> Source:
    """Open a store or a source. A store's entries are PNG files, for the thumbnails of the report.

    Raises:
        SwincliError: as `open_source` and `Store.open` do.
    """
    if not is_store(text):
        return open_source(text, resolution)
    store = Store.open(Path(text))
    return Source(text, [Entry(_image_name(place), partial(_as_png, store, place)) for place in range(len(store))])


def _image_name(place: int) -> str:
    return f"image {place:,}"


def _as_png(store: Store, place: int) -> bytes:
    return encode(store.fetch(np.array([place]))[0], "png")

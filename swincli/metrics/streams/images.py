"""Bringing pictures to the detector, from a store, a folder, a zip or a generator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from swincli.console import Advance
from swincli.data.images.decode import decode
from swincli.data.images.formats import SUFFIXES
from swincli.data.images.rejected import ImageError
from swincli.data.sources import open_source
from swincli.data.sources.entries import Entry, Source
from swincli.data.store.reader import Store, is_store
from swincli.errors import DataError, UsageError
from swincli.metrics.protocol import Fakes
from swincli.metrics.streams.features import Loader
from swincli.model.files.model_file import Model
from swincli.units import LARGEST_SEED

T = TypeVar("T")

_FETCH = 64  # pictures read from a store at a time
_HINT = "Give a store made by `swincli prepare-data`, a folder of pictures, or an archive of them."


@dataclass(frozen=True)
class ImageStream:
    """Pictures to be judged, to be gone through once, and where they come from.

    Attributes:
        pictures: Of several processes, the share of this one.
        origin: Of all of them.
    """

    pictures: Iterable[Loader]
    origin: Fakes


@dataclass(frozen=True)
class Part:
    """How pictures were drawn from a larger set: from how many, and with which seed."""

    of: int
    seed: int


@dataclass(frozen=True)
class ImageSet:
    """Pictures that lie somewhere and can be read in any order.

    Attributes:
        source: Where they lie.
        count: How many there are, at least 2.
        resolution: Their side in pixels; None where sizes may differ.
        content_hash: A hash of all that lie there; reads them where it is not known yet, and tells how many it has
            read.
        read: The pictures of some indices, in that order.
        part: How these were drawn, where more lie there.
    """

    source: str
    count: int
    resolution: int | None
    content_hash: Callable[[Advance], str]
    read: Callable[[NDArray[np.int64]], Iterator[Loader]]
    part: Part | None = None


def fake_seeds(num: int, seed: int) -> range:
    """Seeds of the images that are judged: the `seed`-th `num` of all, so that two values of `seed` share none.

    Raises:
        UsageError: they would lie above the largest seed.
    """
    if (seed + 1) * num - 1 > LARGEST_SEED:
        hint = f"The largest --seed for {num:,} images is {(LARGEST_SEED + 1) // num - 1:,}."
        raise UsageError(f"--seed {seed}: with {num:,} images a seed each, it goes beyond the last seed", hint)
    return range(seed * num, (seed + 1) * num)


def model_origin(model: Model, seeds: range, truncation: float) -> Fakes:
    """What the protocol says of a model's images."""
    return Fakes(
        source=str(model.path),
        num=len(seeds),
        resolution=model.recipe.model.size,
        seeds=(seeds[0], seeds[-1]),
        truncation=truncation,
        images_seen=model.images_seen,
        classes="drawn as in the training images" if model.classes else None,
    )


def stream_batches(batches: Iterable[Tensor], origin: Fakes) -> ImageStream:
    """Stream batches of generated pictures, uint8 [B, H, W, 3] on the CPU, `origin.num` in all processes together."""
    return ImageStream((partial(_same, picture) for batch in batches for picture in batch.numpy()), origin)


def stream_subset(images: ImageSet, num: int, seed: int, share: Callable[[int], range] = range) -> ImageStream:
    """Stream a set, or `num` of its pictures drawn with `seed` where it has more.

    Args:
        images: The set.
        num: The most pictures.
        seed: Which of them.
        share: From their number, those that this process looks at; all by default.
    """
    indices = np.arange(images.count)
    if images.count > num:
        indices = np.sort(np.random.default_rng(seed).choice(indices, num, replace=False))
    mine = share(len(indices))
    pictures = images.read(indices[mine.start : mine.stop])
    return ImageStream(pictures, Fakes(images.source, len(indices), images.resolution))


def draw_subset(images: ImageSet, num: int, seed: int) -> ImageSet:
    """`num` pictures of a set drawn at random, or the whole set where it has no more.

    They are other ones than `stream_subset` draws with the same seed, so that one set may serve as both sides.
    """
    if images.count <= num:
        return images
    indices = np.sort(np.random.default_rng((seed, 1)).choice(images.count, num, replace=False))
    return replace(images, count=num, read=lambda chosen: images.read(indices[chosen]), part=Part(images.count, seed))


@contextmanager
def open_images(text: str) -> Iterator[ImageSet]:
    """Open a store, or any source that `swincli prepare-data` reads, for as long as the block lasts.

    In folders and archives, files whose names do not end as pictures' do are passed over.

    Raises:
        DataError: nothing is there, it is damaged, or it holds fewer than 2 pictures.
    """
    path = Path(text)
    if is_store(path) or (path / "images-00000.npy").is_file():
        yield _require_two(_stored(text, Store.open(path)))
        return
    if not text.startswith("builtin:") and not path.exists():
        raise DataError(f"{text}: no such store, folder or zip", _HINT)
    with open_source(text) as source:
        entries = [entry for entry in source if source.all_pictures or _looks_like_picture(entry.name)]
        yield _require_two(_loose(text, source, entries))


def _looks_like_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _require_two(images: ImageSet) -> ImageSet:
    if images.count < 2:
        found = "no picture" if images.count == 0 else "only one picture"
        raise DataError(f"{images.source}: holds {found}; measuring takes at least 2", _HINT)
    return images


def _stored(text: str, store: Store) -> ImageSet:
    def read(indices: NDArray[np.int64]) -> Iterator[Loader]:
        for start in range(0, len(indices), _FETCH):
            for picture in store.fetch(indices[start : start + _FETCH]):
                yield partial(_same, picture)

    return ImageSet(text, len(store), store.resolution, lambda _: store.content_hash, read)


def _loose(text: str, source: Source, entries: list[Entry]) -> ImageSet:
    def content_hash(advance: Advance) -> str:
        digest = hashlib.sha256()
        for entry in entries:
            content = _named(source, entry, entry.read)
            digest.update(f"{entry.name}\0{len(content)}\0".encode(errors="surrogateescape"))
            digest.update(content)
            advance()
        return digest.hexdigest()

    def read(indices: NDArray[np.int64]) -> Iterator[Loader]:
        return (partial(_decoded, source, entries[index]) for index in indices)

    return ImageSet(text, len(entries), None, content_hash, read)


def _decoded(source: Source, entry: Entry) -> NDArray[np.uint8]:
    return _named(source, entry, lambda: np.asarray(decode(entry.read(), entry.name)))


def _named(source: Source, entry: Entry, work: Callable[[], T]) -> T:
    """Do some work, and name a picture that it fails on by its whole path."""
    try:
        return work()
    except ImageError as error:
        hint = "Repair it or take it away, or have `swincli prepare-data` leave it out."
        raise DataError(f"{source.locate(entry.name)}: {error.reason}", hint) from error


def _same(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture

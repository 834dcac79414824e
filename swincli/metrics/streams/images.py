"""Streams of uint8 images for the detector, from a store, a folder, an archive or a generator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
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
from swincli.metrics.networks.judges import judge_of
from swincli.metrics.protocol import FakesRecord, NetworkRecord
from swincli.metrics.streams.appearance import Appearance, of_generated, of_source, of_store
from swincli.metrics.streams.content_hash import remembered_hash
from swincli.metrics.streams.features import Loader
from swincli.model.files.model_file import Model
from swincli.units import LARGEST_SEED, format_items, format_names

T = TypeVar("T")

_FETCH = 64  # images per read from a store
_HINT = "Give a store made by `swincli prepare-data`, or a folder or an archive of pictures."


@dataclass(frozen=True)
class ImageStream:
    """The fakes as a stream that is read once, and their record for the protocol.

    Attributes:
        images: Loaders of this rank's share.
        record: Describes the images of all ranks.
        look: Returns what is known of the images before they are read.
    """

    images: Iterable[Loader]
    record: FakesRecord
    look: Callable[[], Appearance] = Appearance


@dataclass(frozen=True)
class RandomSubset:
    """A random draw from a larger set: size of that set, and seed."""

    of: int
    seed: int


@dataclass(frozen=True)
class ImageSet:
    """Stored images that can be read in any order.

    Attributes:
        source: Path or name of the source.
        count: Number of images, at least 2.
        resolution: Side in pixels; None if sizes may differ.
        content_hash: Returns a hash of all images of the source. If the hash is neither stored nor remembered it reads
            the images, and calls its argument with the number read.
        read: Loaders of the images at some indices, in that order.
        subset: How the images were drawn from the source; None if they are all of it.
        notes: Messages for the user about how the source was read.
        warnings: What could not be read of it, such as a folder.
        look: Returns what is known of the images before they are read.
    """

    source: str
    count: int
    resolution: int | None
    content_hash: Callable[[Advance], str]
    read: Callable[[NDArray[np.int64]], Iterator[Loader]]
    subset: RandomSubset | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    look: Callable[[], Appearance] = Appearance


def fake_seeds(num: int, seed: int) -> range:
    """Seeds of the generated images: seed x num to seed x num + num - 1, so that two values of `seed` share none.

    Raises:
        UsageError: a seed would exceed the largest one.
    """
    if (seed + 1) * num - 1 > LARGEST_SEED:
        hint = f"The largest --seed for {num:,} images is {(LARGEST_SEED + 1) // num - 1:,}."
        raise UsageError(f"--seed {seed}: too large for {num:,} images, one seed each", hint)
    return range(seed * num, (seed + 1) * num)


def model_record(model: Model, seeds: range, truncation: float) -> FakesRecord:
    """The protocol's record of a model's images."""
    return FakesRecord(
        source=str(model.path),
        num=len(seeds),
        resolution=model.recipe.model.size,
        seeds=(seeds[0], seeds[-1]),
        truncation=truncation,
        images_seen=model.images_seen,
        classes="drawn as in the training images" if model.is_conditional else None,
        judged_by=judge_of(model.recipe, model.ancestors),
        tuned=model.tuned,
    )


def stream_batches(batches: Iterable[Tensor], record: FakesRecord) -> ImageStream:
    """Stream generated batches, uint8 [B, H, W, 3] on the CPU; all ranks together give `record.num` images."""
    loaders = (partial(_identity, image) for batch in batches for image in batch.numpy())
    return ImageStream(loaders, record, partial(of_generated, record.resolution))


def stream_subset(images: ImageSet, num: int, seed: int, share: Callable[[int], range] = range) -> ImageStream:
    """Stream a set, or a random subset of `num` images if it has more.

    Args:
        images: The set.
        num: Largest number of images.
        seed: Seed of the draw; see `draw_fakes`.
        share: Maps the number of images to this rank's share of them; all by default.
    """
    indices = draw_fakes(images.count, num, seed)
    mine = share(len(indices))
    loaders = images.read(indices[mine.start : mine.stop])
    record, judge = drawn_record(images.source, images.count, num, images.resolution, seed), images.look().judge
    if judge is not None:
        record = replace(record, judged_by=NetworkRecord(*judge))
    return ImageStream(loaders, record, images.look)


def drawn_record(source: str, count: int, num: int, resolution: int | None, seed: int) -> FakesRecord:
    """The protocol's record of at most `num` fakes of a set of `count` images."""
    if count <= num:
        return FakesRecord(source, count, resolution)
    return FakesRecord(source, num, resolution, drawn_from=count, drawn_with=seed)


def draw_subset(images: ImageSet, num: int, seed: int) -> ImageSet:
    """A random subset of `num` images as reals, or the whole set if it has no more; see `draw_reals`."""
    if images.count <= num:
        return images
    indices = draw_reals(images.count, num, seed)
    return replace(
        images, count=num, read=lambda chosen: images.read(indices[chosen]), subset=RandomSubset(images.count, seed)
    )


def draw_fakes(count: int, num: int, seed: int) -> NDArray[np.int64]:
    """Indices of `num` fakes of `count` images, sorted: the front of the seed's order. All if there are no more."""
    return np.sort(_random_order(count, seed)[:num]) if num < count else np.arange(count)


def draw_reals(count: int, num: int, seed: int) -> NDArray[np.int64]:
    """Indices of `num` reals of `count` images, sorted: the back of the seed's order. All if there are no more.

    Fakes and reals of one set and seed have as few images in common as possible: none if the set has enough.
    """
    return np.sort(_random_order(count, seed)[-num:]) if num < count else np.arange(count)


def _random_order(count: int, seed: int) -> NDArray[np.int64]:
    # Of above 10,000 images the back is what choice() of these images alone gives, as earlier versions drew the reals.
    return np.random.default_rng((seed, 1)).choice(count, count, replace=False)


def count_on_both_sides(fakes: FakesRecord, reals: ImageSet) -> int:
    """Number of fakes that are in the reference too, if both are of one store, folder or archive by its path."""
    if Path(fakes.source).resolve() != Path(reals.source).resolve():
        return 0
    total = reals.subset.of if reals.subset else reals.count
    f = draw_fakes(total, fakes.num, fakes.drawn_with or 0)
    r = draw_reals(total, reals.count, reals.subset.seed if reals.subset else 0)
    return len(np.intersect1d(f, r, assume_unique=True))


@contextmanager
def open_images(text: str, resolution: int | None = None) -> Iterator[ImageSet]:
    """Open a store, or any source that `swincli prepare-data` reads, for the duration of the block.

    In folders and archives, files with the suffix of an image format are used, and those whose first bytes are of one.
    `resolution` is the preferred side of pictures that a source has in several sizes.

    Raises:
        DataError: the source does not exist, is damaged, or has fewer than 2 images.
    """
    path = Path(text)
    if is_store(path) or (path / "images-00000.npy").is_file():
        yield _require_two(_store_images(text, Store.open(path)))
        return
    if not text.startswith("builtin:") and not path.exists():
        raise DataError(f"{text}: no such store, folder or archive", _HINT)
    with open_source(text, resolution, _HINT) as source:
        entries = [entry for entry in source if source.all_pictures or _is_image(entry)]
        notes = (*source.notes, *_notes(text, source, entries))
        yield _require_two(replace(_source_images(text, source, entries), notes=notes, warnings=source.warnings))


def sets_in_folders(one: str, other: str) -> tuple[str, str] | None:
    """The inner and the outer of two folders of image files, if one is inside the other; else None."""
    paths = {text: Path(text).resolve() for text in (one, other) if Path(text).is_dir() and not is_store(text)}
    for inner, outer in ((one, other), (other, one)):
        if len(paths) == 2 and paths[inner].is_relative_to(paths[outer]):
            return (inner, outer) if paths[inner] != paths[outer] else None
    return None


def _is_image(entry: Entry) -> bool:
    """Whether a file is meant to be an image by its suffix, or is one by its first bytes."""
    if PurePosixPath(entry.name).suffix.lower() in SUFFIXES:
        return True
    try:
        entry.require_image()
    except ImageError:
        return False
    return True


def _require_two(images: ImageSet) -> ImageSet:
    if images.count < 2:
        found = "no images" if images.count == 0 else "only one image"
        raise DataError(f"{images.source}: has {found}; metrics need at least 2", _hint_of(Path(images.source)))
    return images


def _hint_of(path: Path) -> str:
    """What to give instead; the stores in a folder, if it has some, such as the parts of a split."""
    inner = sorted(item for item in path.iterdir() if is_store(item)) if path.is_dir() else []
    return f"Give one of the stores in it, such as {inner[0]}." if inner else _HINT


def _notes(text: str, source: Source, entries: list[Entry]) -> Iterator[str]:
    """Messages about files that are passed over, and about images in subfolders beside others."""
    if passed_over := len(source) - len(entries):
        yield f"{text}: passed over {format_items(passed_over, 'file')} without an image"
    inner = [PurePosixPath(entry.name).parts[0] for entry in entries if "/" in entry.name]
    if Path(text).is_dir() and 0 < len(inner) < len(entries):
        folders = format_names(sorted(set(inner)))
        yield f"{text}: {len(inner):,} of its {len(entries):,} images are in subfolders ({folders}); all are used"


def _store_images(text: str, store: Store) -> ImageSet:
    def read(indices: NDArray[np.int64]) -> Iterator[Loader]:
        for start in range(0, len(indices), _FETCH):
            for image in store.fetch(indices[start : start + _FETCH]):
                yield partial(_identity, image)

    look = partial(of_store, store.manifest)
    return ImageSet(text, len(store), store.resolution, lambda _: store.content_hash, read, look=look)


def _source_images(text: str, source: Source, entries: list[Entry]) -> ImageSet:
    def hash_all(advance: Advance) -> str:
        digest = hashlib.sha256()
        for entry in entries:
            content = _name_in_errors(source, entry, entry.read)
            digest.update(f"{entry.name}\0{len(content)}\0".encode(errors="surrogateescape"))
            digest.update(content)
            advance()
        return digest.hexdigest()

    def read(indices: NDArray[np.int64]) -> Iterator[Loader]:
        for entry in (entries[index] for index in indices):
            content = _name_in_errors(source, entry, entry.read) if source.forward_only else None
            yield partial(_decode_entry, source, entry, content)

    def content_hash(advance: Advance) -> str:
        return remembered_hash(source, entries, partial(hash_all, advance))

    return ImageSet(text, len(entries), None, content_hash, read, look=cache(partial(of_source, source, entries)))


def _decode_entry(source: Source, entry: Entry, content: bytes | None) -> NDArray[np.uint8]:
    """The pixels of an entry, from its content or, if that is None, from the source."""
    return _name_in_errors(
        source, entry, lambda: np.asarray(decode(entry.read() if content is None else content, entry.name))
    )


def _name_in_errors(source: Source, entry: Entry, work: Callable[[], T]) -> T:
    """Return `work()`; an ImageError becomes a DataError that names the image by its full path."""
    try:
        return work()
    except ImageError as error:
        hint = "Repair or remove it, or let `swincli prepare-data` skip it."
        raise DataError(f"{source.locate(entry.name)}: {error.reason}", hint) from error


def _identity(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image

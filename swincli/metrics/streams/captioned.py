"""Fit of images and texts: features of real images and of images drawn from their captions, a matcher, classifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.console import Console
from swincli.data.store.captions import Captions
from swincli.data.store.reader import Store, is_store
from swincli.errors import DataError, SwincliError, UsageError
from swincli.metrics.definitions.r_precision import OTHERS, STEPS, TextMatch, own_text_first, train_matcher
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.streams.features import Loader, compute_statistics
from swincli.metrics.streams.said_slots import SlotAccuracy, held_out_accuracy, slot_accuracy
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.attributes import draw_attributes
from swincli.synthesis.latents.texts import text_name
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sampling import generate

TRAINING = 5000  # real images that the matcher is trained on, at most
HELD_BACK = 0.2  # share of the real images that it is not trained on
LEAST = 2 * (OTHERS + 1)
_BATCH = 32
_FETCH = 64
DrawTexts = Callable[[NDArray[np.float32], int], Iterator[Tensor]]
"""Images of the vectors of some texts and a seed, in batches uint8 `[B, H, W, 3]`."""


def check_texts(model: Model | None, reference: str | None) -> None:
    """Check that a model and a reference have texts.

    Raises:
        UsageError: the model has none, or the reference is no store with captions.
    """
    if model is None or model.attributes is None or model.attributes.texts is None:
        raise UsageError("--metric text: needs a model of texts", "Give --checkpoint of one; see docs/guides/text.md.")
    if reference is None or not is_store(reference) or Store.open(Path(reference)).captions is None:
        raise UsageError("--metric text: --data must be a store with captions", "Prepare one with --captions.")
    if len(Store.open(Path(reference))) < LEAST:
        raise DataError(f"--metric text: needs at least {LEAST} real images", "Prepare more pictures.")


@dataclass(frozen=True, eq=False)
class TextFit:
    """How well images fit their texts.

    Attributes:
        match: By a matcher: R-precision.
        slots: By classifiers of what captions name; None if nothing says what that is.
    """

    match: TextMatch
    slots: SlotAccuracy | None = None

    def values(self) -> dict[str, float]:
        """All values by name."""
        named = {name: float(hits.mean()) for name, hits in self.match.hits().items()}
        return named | ({} if self.slots is None else self.slots.values())

    def hits(self) -> dict[str, NDArray[np.bool_]]:
        """What the shares are of, by name."""
        return self.match.hits() | ({} if self.slots is None else self.slots.hits())


def match_texts(
    model: Model,
    reference: str,
    detector: Detector,
    count: int,
    seed: int,
    console: Console,
    truncation: float = 1.0,
) -> TextFit:
    """Train a matcher on a store with captions, and ask it which text drawn and real images show.

    If the store is a part of a split, another part beside it is the held-out side.

    Args:
        model: A model of texts.
        reference: A store with captions, that of training.
        detector: Gives the features; the model's D must not have looked through it.
        count: Images to draw; of the held-out side at most as many as it has.
        seed: Of all draws.
        console: Shows progress.
        truncation: Of the images drawn; 1 is none.

    Raises:
        DataError: images cannot be read.
        ResourceError: the detector gives features that are not finite.
    """
    store, random = Store.open(Path(reference)), np.random.default_rng(seed)
    others = held_out_part(store)
    chosen = random.permutation(len(store))[:TRAINING]
    back = chosen[: max(OTHERS + 1, int(HELD_BACK * len(chosen)))]
    rest = chosen[len(back) :]
    real = _features(_stored(store, chosen), len(chosen), detector, console, "Real images")
    of_back, of_rest = real[: len(back)], real[len(back) :]
    captions = _captions(store)
    with console.progress("Matcher", STEPS, "steps") as advance:
        matcher = train_matcher(of_rest, partial(_drawn, captions, rest), seed, advance, STEPS)
    shown = random.permutation(len(store))[:count]
    texts, pool = _first(captions, shown), _first(captions, chosen)
    draw = partial(_draw, model, Truncation(truncation))
    drawn = _of_drawn(draw, texts, seed, detector, console, "Images of captions")
    ask = partial(own_text_first, matcher, seed=seed)
    found = TextMatch(
        drawn=ask(drawn, texts, pool),
        real=ask(of_back, _first(captions, back), pool),
        shuffled=ask(drawn, np.roll(texts, 1, axis=0), pool),
    )
    judged = slot_accuracy(model, store, chosen, shown, partial(_draw_first, draw, captions, seed), console)
    if others is None:
        return TextFit(found, judged and judged[0])
    apart = random.permutation(len(others))[:count]
    theirs = _first(_captions(others), apart)
    real = _features(_stored(others, apart), len(apart), detector, console, "Held-out images")
    drawn = _of_drawn(draw, theirs, seed + 1, detector, console, "Images of held-out captions")
    pool = np.concatenate([pool, theirs])
    found = replace(found, held_out=ask(drawn, theirs, pool), real_held_out=ask(real, theirs, pool))
    if judged is None:
        return TextFit(found)
    of_others = partial(_draw_first, draw, _captions(others), seed + 1)
    return TextFit(found, held_out_accuracy(*judged, model, others, apart, of_others, console))


def held_out_part(store: Store) -> Store | None:
    """Another part of the same split, with captions, in a folder beside a store; None without one."""
    split = store.manifest.split
    if split is None:
        return None
    for path in sorted(store.path.resolve().parent.iterdir()):
        if path == store.path.resolve() or not is_store(path):
            continue
        try:
            other = Store.open(path)
        except SwincliError:
            continue
        if other.manifest.split == split and other.captions is not None:
            return other
    return None


def _captions(store: Store) -> Captions:
    assert store.captions is not None
    return store.captions


def _first(captions: Captions, images: NDArray[np.int64]) -> NDArray[np.float32]:
    """The vector of each image's first caption, which has most details where a source brings its own."""
    return captions.columns(captions.drawn(images, np.zeros(len(images))))


def _drawn(captions: Captions, images: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.float32]:
    """The vector of one caption of each image."""
    return captions.columns(captions.drawn(images, random.random(len(images))))


def _stored(store: Store, images: NDArray[np.int64]) -> Iterable[Loader]:
    for start in range(0, len(images), _FETCH):
        for pixels in store.fetch(images[start : start + _FETCH]):
            yield partial(_same, pixels)


def _same(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels


def _of_drawn(
    draw: DrawTexts, texts: NDArray[np.float32], seed: int, detector: Detector, console: Console, title: str
) -> NDArray[np.float32]:
    """Features of an image of each text."""
    loaders = (partial(_same, image) for batch in draw(texts, seed) for image in batch.numpy())
    return _features(loaders, len(texts), detector, console, title)


def _draw_first(draw: DrawTexts, captions: Captions, seed: int, images: NDArray[np.int64]) -> Iterator[Tensor]:
    return draw(_first(captions, images), seed)


def _draw(model: Model, truncation: Truncation, texts: NDArray[np.float32], seed: int) -> Iterator[Tensor]:
    """An image of each text, in batches."""
    assert model.attributes is not None
    name, seeds = text_name(model.attributes), [seed * len(texts) + number for number in range(len(texts))]
    rows = [
        draw_attributes(model.attributes, [one], {name: torch.from_numpy(text)})
        for one, text in zip(seeds, texts, strict=True)
    ]
    yield from generate(model, seeds, truncation=truncation, labels=torch.cat(rows))


def _features(
    images: Iterable[Loader], count: int, detector: Detector, console: Console, title: str
) -> NDArray[np.float32]:
    with console.progress(title, count) as advance:
        found = compute_statistics(images, detector, frozenset({"features"}), _BATCH, advance).features
    assert found is not None
    return found

"""Slots that captions name, such as body and eyes of composed cats, and how often images show what was said.

Values of slots come from the store's attributes, or from the captions that composed pictures bring along. A classifier
of each slot is fitted on real images, as for label accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.console import Console
from swincli.data.preparing.splits import has_words
from swincli.data.sources.composed import composition_of
from swincli.data.store.reader import Store
from swincli.errors import DataError, SwincliError
from swincli.metrics.networks.attribute_probe import (
    AttributeProbe,
    Features,
    fit_classes,
    probe_features,
    require_sklearn,
)
from swincli.metrics.streams.labels import as_names
from swincli.model.files.model_file import Model
from swincli.model.pretrained.efficientnet import WEIGHTS
from swincli.recipe.attributes import Attribute

MOST_JUDGED = 2000  # drawn images, and real ones of held-out combinations
_BATCH = 64
Values = dict[str, list[str | None]]
Indices = NDArray[np.int64]
Draw = Callable[[Indices], Iterable[Tensor]]
"""Images of the first captions of some images, in batches uint8 `[B, H, W, 3]`."""


@dataclass(frozen=True)
class SaidSlots:
    """The slots of a store.

    Attributes:
        have: The value of each image by slot; None if it is not known.
        said: The same where the image's first caption names it, else None.
    """

    have: Values
    said: Values


@dataclass(frozen=True, eq=False)
class SlotAccuracy:
    """How often a classifier finds the slots that texts name; bool `[N]` by slot.

    Attributes:
        of_reals: The classifier's accuracy on real images that it has not seen.
        drawn: Images of captions of training images.
        held_out: Images of captions of the held-out part.
        real_held_out: Its real images: the classifier has not seen such combinations.
    """

    of_reals: dict[str, float] = field(default_factory=dict)
    drawn: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    held_out: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    real_held_out: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def hits(self) -> dict[str, NDArray[np.bool_]]:
        """All shares of images by the names of their values."""
        kinds = {"": self.drawn, "_held_out": self.held_out, "_of_reals_held_out": self.real_held_out}
        return {f"text_accuracy{kind}:{slot}": hits for kind, of in kinds.items() for slot, hits in of.items()}

    def values(self) -> dict[str, float]:
        """All values by name."""
        found = {name: float(hits.mean()) for name, hits in self.hits().items()}
        return found | {f"text_accuracy_of_reals:{slot}": value for slot, value in self.of_reals.items()}


def said_slots(store: Store) -> SaidSlots | None:
    """The slots of a store with captions; None if nothing says what its captions name."""
    assert store.captions is not None
    captions = [store.captions.texts[place] for place in store.captions.ids[store.captions.starts[:-1]]]
    each = [one for one in store.manifest.attribute_list() if one.kind.name in ("class", "flag")]
    if store.attributes is not None and each:
        have = {one.name: as_names(one, store.attributes.of(one.name)) for one in each}
        said = {one.name: _named(one, have[one.name], captions) for one in each}
        return SaidSlots(have, said)
    kind = composition_of(store.manifest.source)
    if kind is None:
        return None
    heard = [kind.heard(caption) for caption in captions]
    if not any(heard):
        return None
    said = {slot.name: [one.get(slot.name) for one in heard] for slot in kind.slots}
    alone = {slot.name: slot.silent[0] if len(slot.silent) == 1 else None for slot in kind.slots}
    return SaidSlots({slot: [value or alone[slot] for value in values] for slot, values in said.items()}, said)


def _named(one: Attribute, have: list[str | None], captions: list[str]) -> list[str | None]:
    """The value of each image if its caption names it; of a flag the flag's own words."""
    words = {"yes": one.name} if one.kind.name == "flag" else {value: value for value in one.values}
    pairs = zip(have, captions, strict=True)
    return [value if value in words and has_words(text, words[value]) else None for value, text in pairs]


def slot_accuracy(
    model: Model, store: Store, reals: Indices, shown: Indices, draw: Draw, console: Console
) -> tuple[SlotAccuracy, dict[str, AttributeProbe]] | None:
    """Fit classifiers on real images, and judge images of captions; None if captions name no slots.

    Args:
        model: A model of texts.
        store: Its store.
        reals: Images of the store that the classifiers are fitted and tested on.
        shown: Images of the store whose captions are drawn; at most `MOST_JUDGED` of them are.
        draw: Draws them.
        console: Shows progress, and says why there are no classifiers.

    Returns:
        The accuracy without the held-out side, and the classifiers.
    """
    slots = said_slots(store)
    if slots is None:
        return None
    try:
        require_sklearn()
        WEIGHTS.require()
    except SwincliError as error:
        console.warn(f"text: no accuracy of what captions name: {error.message}")
        return None
    features = _features(_stored(store, reals), model, console, len(reals), "Real images, their slots")
    probes = {}
    for name, values in slots.have.items():
        try:
            probes[name] = fit_classes(features, [values[image] for image in reals])
        except DataError:
            continue  # one value alone
    judged = shown[:MOST_JUDGED]
    features = _features(draw(judged), model, console, len(judged), "Images of captions, their slots")
    quality = {name: probe.quality.accuracy for name, probe in probes.items()}
    return SlotAccuracy(quality, _hits(probes, slots.said, features, judged)), probes


def held_out_accuracy(
    found: SlotAccuracy,
    probes: Mapping[str, AttributeProbe],
    model: Model,
    others: Store,
    shown: Indices,
    draw: Draw,
    console: Console,
) -> SlotAccuracy:
    """The same with the held-out side: its images, and images of its captions."""
    slots, judged = said_slots(others), shown[:MOST_JUDGED]
    if slots is None:
        return found
    real = _features(_stored(others, judged), model, console, len(judged), "Held-out images, their slots")
    drawn = _features(draw(judged), model, console, len(judged), "Images of held-out captions, their slots")
    held_out, reals = (_hits(probes, slots.said, features, judged) for features in (drawn, real))
    return SlotAccuracy(found.of_reals, found.drawn, held_out, reals)


def _hits(
    probes: Mapping[str, AttributeProbe], said: Values, features: Features, images: Indices
) -> dict[str, NDArray[np.bool_]]:
    """Whether the classifiers find what was said; of slots that some captions name."""
    found = {}
    for name, probe in probes.items():
        wanted = [said[name][image] for image in images]
        named = np.array([value in probe.classes for value in wanted], bool)
        guesses = np.array(probe.predict(features))
        if named.any():
            found[name] = guesses[named] == np.array([str(value) for value in wanted])[named]
    return found


def _stored(store: Store, images: Indices) -> Iterable[Tensor]:
    for start in range(0, len(images), _BATCH):
        yield torch.from_numpy(store.fetch(images[start : start + _BATCH]))


def _features(batches: Iterable[Tensor], model: Model, console: Console, count: int, title: str) -> Features:
    with console.progress(title, count) as advance:

        def counted() -> Iterable[Tensor]:
            for batch in batches:
                yield batch
                advance(len(batch))

        return probe_features(counted(), model.device)

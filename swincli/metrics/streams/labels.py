"""Labels of both sides of a measurement: what a model was asked for, and what the real images of a store have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.reader import Store
from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.recipe.attributes import Attribute, Kind
from swincli.synthesis.latents.classes import labels_as_trained

CLASS = "class"
"""Name of the label of a model with classes."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """A model and a store that have the same labels.

    Attributes:
        model: Generates the fakes.
        store: The real images.
        seeds: Seeds of the fakes, in their order.
        by: Name of the attribute that divides the images, or "class"; None for none.
    """

    model: Model
    store: Store
    seeds: range
    by: str | None = None

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes of the model; of a model with classes one, "class"."""
        if self.model.attributes is not None:
            return self.model.attributes.each
        assert self.model.classes is not None
        names = self.model.classes.names
        return (Attribute(CLASS, Kind("class", len(names)), names),) if len(names) > 1 else ()

    def of_fakes(self, name: str, seeds: range | None = None) -> NDArray[np.float32]:
        """Columns of an attribute of the fakes, as networks get them: float32 [N, C]."""
        labels = labels_as_trained(self.model, self.seeds if seeds is None else seeds)
        assert labels is not None
        if self.model.attributes is None:
            return labels.numpy().astype(np.float32)[:, None]
        found: NDArray[np.float32] = labels[:, self.model.attributes.places[name]].numpy()
        return found

    def of_reals(self, name: str) -> NDArray[np.float32]:
        """The same of the real images."""
        if self.model.attributes is None:
            assert self.store.labels is not None
            return self.store.labels.astype(np.float32)[:, None]
        assert self.store.attributes is not None
        one = next(each for each in self.attributes if each.name == name)
        found: NDArray[np.float32] = one.scaled(self.store.attributes.of(name))
        return found


def check_labelled(labelled: Labelled | None, metric: str) -> Labelled:
    """Check that both sides have the same labels.

    Raises:
        UsageError: the model has no labels, the reference is no store, or it has other labels.
    """
    if labelled is None:
        raise UsageError(
            f"--metric {metric}: needs a model with labels and the store that it was trained on",
            "Give --checkpoint and --data STORE, without --num-reference and --reference.",
        )
    model, store = labelled.model, labelled.store
    if not model.is_conditional:
        raise UsageError(f"--metric {metric}: {model.path} has no labels", "It was trained without them.")
    own = None if model.classes is None else model.classes.names
    if own is not None and (store.labels is None or tuple(store.manifest.label_names or ()) != own):
        raise UsageError(f"--metric {metric}: {store.path} has not the model's classes", "Give its own store.")
    there = {one.name: one for one in store.manifest.attribute_list()}
    for one in labelled.attributes if model.attributes is not None else ():
        if one.name not in there or (there[one.name].kind, there[one.name].values) != (one.kind, one.values):
            raise UsageError(f"--metric {metric}: {store.path} has not the model's {one.name}", "Give its own store.")
    return labelled


def check_by(labelled: Labelled | None, metric: str) -> Attribute:
    """The attribute that divides the images. Raises UsageError as `check_labelled`, or if there is no such class."""
    known = {one.name: one for one in check_labelled(labelled, metric).attributes if one.kind.name in ("class", "flag")}
    by = labelled.by if labelled is not None else None
    if by is None or by not in known:
        given = "needs --by-class NAME" if by is None else f"--by-class {by}: no class or flag of the model"
        raise UsageError(f"--metric {metric}: {given}", f"It has {', '.join(known) or 'none'}.")
    return known[by]


def value_names(one: Attribute) -> tuple[str, ...]:
    """Names of the values of a class or a flag, by their numbers."""
    return ("no", "yes") if one.kind.name == "flag" else one.values


def as_names(one: Attribute, columns: NDArray[np.float32]) -> list[str | None]:
    """The value of each image by name; None for unknown ones."""
    names = value_names(one)
    return [None if np.isnan(value) else names[int(value)] for value in columns[:, 0]]

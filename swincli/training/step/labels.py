"""Labels in training: of the images, and random ones for the latents, as frequent and as combined as among images.

A class is int64 `[B]`. Attributes are float32 `[B, columns]` in the recipe's order, numbers from 0 to 1, unknown NaN.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.data.store.attribute_values import AttributeValues
from swincli.data.store.reader import Store
from swincli.errors import DataError
from swincli.model.files.attributes import MOST_ROWS, Attributes
from swincli.model.files.classes import Classes
from swincli.recipe.attributes import Attribute, spell_table
from swincli.recipe.schema import ModelSection
from swincli.training.rng import derive


def training_classes(classes: int, store: Store) -> Classes | None:
    """Names and image counts of the store's classes; None for a model without classes (`classes=0`).

    Raises:
        DataError: the store has no labels, or another number of classes than `model.classes`.
    """
    if not classes:
        return None
    names = store.manifest.label_names
    if store.labels is None or names is None:
        raise DataError(
            f"{store.path}: its images have no labels, but model.classes is {classes}",
            "Prepare the store again with --labels, or set model.classes=0.",
        )
    if len(names) != classes:
        raise DataError(
            f"{store.path}: its labels have {len(names)} classes, but model.classes is {classes}",
            f"Set model.classes={len(names)}, or 0 to train without classes.",
        )
    return Classes(tuple(names), tuple(np.bincount(store.labels, minlength=classes).tolist()))


def training_attributes(config: ModelSection, store: Store) -> Attributes | None:
    """The attributes of the recipe as the store has them, and some images' labels; None without `model.attributes`.

    Raises:
        DataError: the store lacks one of them, or has it with another kind.
    """
    if not config.attributes:
        return None
    found = _found(config, store)
    picked = np.random.default_rng(0).permutation(len(store))[:MOST_ROWS]
    picked = np.concatenate([picked, np.setdiff1d(_first_of_each_value(found), picked)])
    return Attributes(tuple(_wanted(config, found)), _columns(config, found, picked))


def check_labels(config: ModelSection, store: Store) -> None:
    """Check that a store has the labels of a recipe. Raises DataError as the two functions above."""
    training_classes(config.classes, store)
    if config.attributes:
        _found(config, store)


def labels_at(config: ModelSection, store: Store, indices: NDArray[np.int64]) -> Tensor | None:
    """Labels of images as the networks get them, on the CPU; None for unconditional networks."""
    if config.attributes:
        assert store.attributes is not None
        return _columns(config, store.attributes, indices)
    if not config.classes:
        return None
    assert store.labels is not None
    return torch.from_numpy(store.labels[indices])


def batch_labels(config: ModelSection, store: Store, indices: NDArray[np.int64], seed: int, images_seen: int) -> Tensor:
    """Labels of a step's images, of D's latents and of G's latents: `[3, B]` or `[3, B, columns]` on the CPU.

    A latent gets the labels of a random image of the store, so they are as frequent among fakes as among reals, and
    attributes occur together as they do there.
    """
    drawn = torch.randint(len(store), (2, len(indices)), generator=derive(seed, "labels", images_seen))
    labels = [labels_at(config, store, each) for each in (indices, *drawn.numpy())]
    return torch.stack([each for each in labels if each is not None])


def _columns(config: ModelSection, found: AttributeValues, indices: NDArray[np.int64]) -> Tensor:
    """The recipe's columns of some images, in its order and scaled."""
    parts = [one.scaled(found.of(one.name)[indices]) for one in _wanted(config, found)]
    return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32, copy=False))


def _wanted(config: ModelSection, found: AttributeValues) -> list[Attribute]:
    """The store's attributes that the recipe names, in its order."""
    by_name = {one.name: one for one in found.each}
    return [by_name[name] for name in config.attribute_kinds]


def _found(config: ModelSection, store: Store) -> AttributeValues:
    if store.attributes is None:
        raise DataError(
            f"{store.path}: its images have no attributes, but model.attributes names some",
            "Prepare the store again with --labels and a table of several columns, or leave out model.attributes.",
        )
    there = {one.name: one.kind for one in store.attributes.each}
    for name, kind in config.attribute_kinds.items():
        if there.get(name) != kind:
            own = f"it is {spell_table({name: there[name]})}" if name in there else "there is none"
            raise DataError(
                f"{store.path}: model.attributes has {spell_table({name: kind})}, but in the store {own}",
                f"All of the store: attributes = {{ {spell_table(there)} }}",
            )
    return store.attributes


def _first_of_each_value(found: AttributeValues) -> NDArray[np.int64]:
    """Indices of images so that each value of classes, flags and several is among them: rare ones can be drawn too."""
    first = [np.empty(0, np.int64)]
    for one in found.each:
        columns = found.of(one.name)
        if one.kind.name in ("class", "flag"):
            first.append(np.unique(columns[:, 0], return_index=True)[1])
        elif one.kind.name == "several":
            first.append((columns == 1).argmax(axis=0))
    return np.concatenate(first).astype(np.int64)

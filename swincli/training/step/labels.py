"""Labels in training: of the images, and random ones for the latents, as frequent and as combined as among images.

A class is int64 `[B]`. Attributes are float32 `[B, columns]` in the recipe's order, numbers from 0 to 1, unknown NaN.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.data.store.attribute_values import AttributeValues
from swincli.data.store.captions import ATTRIBUTE as CAPTION
from swincli.data.store.reader import Store
from swincli.errors import DataError
from swincli.model.files.attributes import MOST_ROWS, Attributes
from swincli.model.files.classes import Classes
from swincli.recipe import Recipe
from swincli.recipe.attributes import Attribute, Kind, columns_by_name, spell_table
from swincli.recipe.schema import ModelSection
from swincli.training.rng import derive
from swincli.training.step.texts import drawn_captions, first_captions, foreign_texts, known_texts, varied

APART = 0.1
"""Difference above which numbers from 0 to 1 are not the same, so that one is wrong for the other's image."""
Labels = tuple[Tensor, Tensor | None]


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
    _check_attributes(config, store)
    random = np.random.default_rng(0)
    picked = random.permutation(len(store))[:MOST_ROWS]
    if store.attributes is not None:
        picked = np.concatenate([picked, np.setdiff1d(_first_of_each_value(store.attributes), picked)])
    rows, place, texts = _columns(config, store, picked), text_place(config), None
    if place is not None and store.captions is not None:
        drawn = store.captions.drawn(picked, random.random(len(picked)))
        rows[:, place] = torch.from_numpy(store.captions.columns(drawn))
        texts = known_texts(store.captions)
    return Attributes(tuple(_wanted(config, store)), rows, texts)


def check_labels(config: ModelSection, store: Store) -> None:
    """Check that a store has the labels of a recipe. Raises DataError as the two functions above."""
    training_classes(config.classes, store)
    if config.attributes:
        _check_attributes(config, store)


def labels_at(config: ModelSection, store: Store, indices: NDArray[np.int64]) -> Tensor | None:
    """Labels of images as the networks get them, on the CPU, with first captions; None for unconditional networks."""
    if config.attributes:
        return _columns(config, store, indices)
    if not config.classes:
        return None
    assert store.labels is not None
    return torch.from_numpy(store.labels[indices])


def batch_images(store: Store, indices: NDArray[np.int64], seed: int, images_seen: int) -> NDArray[np.int64]:
    """Whose labels a step has: its images, and random ones for D's latents and for G's, int64 `[3, B]`."""
    drawn = torch.randint(len(store), (2, len(indices)), generator=derive(seed, "labels", images_seen))
    return np.concatenate([indices[None], drawn.numpy()])


def batch_labels(config: ModelSection, store: Store, indices: NDArray[np.int64], seed: int, images_seen: int) -> Tensor:
    """Labels of a step's images, of D's latents and of G's latents: `[3, B]` or `[3, B, columns]` on the CPU.

    A latent gets the labels of a random image of the store, so they are as frequent among fakes as among reals, and
    attributes occur together as they do there.
    """
    return labels_of(config, store, batch_images(store, indices, seed, images_seen))


def labels_of(config: ModelSection, store: Store, images: NDArray[np.int64]) -> Tensor:
    """Labels of rows of images, int64 `[N, B]` -> `[N, B]` or `[N, B, columns]` on the CPU."""
    labels = [labels_at(config, store, each) for each in images]
    return torch.stack([each for each in labels if each is not None])


def with_foreign(recipe: Recipe, store: Store, labels: Tensor, images: NDArray[np.int64], images_seen: int) -> Labels:
    """Labels of a step, with a caption drawn for each image, and labels that are wrong for the images.

    In those the text is another image's; without texts, the value of one attribute is. With paired logits, a fake has
    the text of the real that it is compared with.

    Args:
        recipe: Its texts, noise and seed.
        store: The images.
        labels: `[3, B, columns]`, from `labels_of`.
        images: Which images they are of, int64 `[3, B]`.
        images_seen: Images shown before the step.

    Returns:
        Both `[3, B, columns]`; the second is None without `loss.matching`.
    """
    section, seed, place = recipe.augment, recipe.train.seed, text_place(recipe.model)
    if place is None:
        return labels, foreign_labels(recipe.model, labels, seed, images_seen) if recipe.loss.matching else None
    assert store.captions is not None
    texts, paired = drawn_captions(store.captions, images, seed, images_seen), np.array_equal(images[0], images[1])
    own, foreign = labels.clone(), None
    own[..., place] = varied(texts, section, seed, "texts", images_seen)
    if paired:
        texts[1], own[1, :, place] = texts[0], own[0, :, place]
    if recipe.loss.matching:
        foreign = own.clone()
        other = foreign_texts(texts, images)
        noisy = varied(other, section.model_copy(update={"text_drop": 0.0}), seed, "foreign texts", images_seen)
        foreign[..., place] = noisy
        foreign[other[..., 0].isnan()] = torch.nan
    return own, foreign


def foreign_labels(config: ModelSection, labels: Tensor, seed: int, images_seen: int) -> Tensor:
    """Labels of which one attribute has the value of the image before it in the batch.

    It is drawn by (seed, images seen) among the attributes whose value is known and another there. Images of which none
    is have NaN in all columns.

    Args:
        config: The attributes.
        labels: float32 `[3, B, columns]`.
        seed: Seed of the run.
        images_seen: Images shown before the step.
    """
    others, places = labels.roll(1, dims=1), columns_by_name(config.attribute_kinds).values()
    apart = torch.stack([(labels[..., one] - others[..., one]).abs().amax(dim=2) > APART for one in places], dim=2)
    drawn = torch.rand(apart.shape, generator=derive(seed, "foreign labels", images_seen))
    chosen = torch.where(apart, drawn, -1).argmax(dim=2, keepdim=True)
    foreign = labels.clone()
    for number, place in enumerate(places):
        foreign[..., place] = torch.where(chosen == number, others[..., place], labels[..., place])
    return torch.where(apart.any(dim=2, keepdim=True), foreign, math.nan)


def text_place(config: ModelSection) -> slice | None:
    """The columns of the texts; None without texts."""
    kinds = config.attribute_kinds
    name = next((name for name, kind in kinds.items() if kind.name == "text"), None)
    return None if name is None else columns_by_name(kinds)[name]


def _columns(config: ModelSection, store: Store, indices: NDArray[np.int64]) -> Tensor:
    """The recipe's columns of some images, in its order and scaled; of texts, the first caption's."""
    parts = []
    for one in _wanted(config, store):
        if one.kind.name == "text" and store.captions is not None:
            parts.append(first_captions(store.captions, indices))
        elif store.attributes is not None:
            parts.append(one.scaled(store.attributes.of(one.name)[indices]))
    return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32, copy=False))


def _wanted(config: ModelSection, store: Store) -> list[Attribute]:
    """The store's attributes that the recipe names, in its order."""
    there = _attributes_of(store)
    return [there[name] for name in config.attribute_kinds]


def _attributes_of(store: Store) -> dict[str, Attribute]:
    """All attributes of a store by name; its captions are one."""
    there = {} if store.attributes is None else {one.name: one for one in store.attributes.each}
    if store.captions is not None:
        there.setdefault(CAPTION, Attribute(CAPTION, Kind("text", store.captions.facts.width)))
    return there


def _check_attributes(config: ModelSection, store: Store) -> None:
    there = {name: one.kind for name, one in _attributes_of(store).items()}
    if not there:
        raise DataError(
            f"{store.path}: its images have no attributes, but model.attributes names some",
            "Prepare the store again with --labels and a table of several columns, or with --captions; or leave out "
            "model.attributes.",
        )
    for name, kind in config.attribute_kinds.items():
        if there.get(name) != kind:
            own = f"it is {spell_table({name: there[name]})}" if name in there else "there is none"
            raise DataError(
                f"{store.path}: model.attributes has {spell_table({name: kind})}, but in the store {own}",
                f"All of the store: attributes = {{ {spell_table(there)} }}",
            )


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

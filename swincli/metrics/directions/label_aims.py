"""What `--label` of a direction means: one value of an attribute, or a number, of a store's images or of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.data.store.attribute_values import AttributeValues
from swincli.errors import UsageError, did_you_mean
from swincli.metrics.streams.labels import CLASS, value_names
from swincli.model.files.attributes import Attributes
from swincli.model.files.classes import Classes
from swincli.recipe.attributes import Attribute
from swincli.synthesis.latents.attributes import draw_attributes
from swincli.synthesis.latents.classes import draw_labels
from swincli.units import format_names

_MOST_NAMED = 20


@dataclass(frozen=True)
class Aim:
    """What a direction leads to.

    Attributes:
        one: The attribute.
        value: Number of its value, as in `Attribute.values`; of a flag 1 for yes; None for a number.
    """

    one: Attribute
    value: int | None


def parse_aim(each: Sequence[Attribute], text: str, owner: str) -> Aim:
    """Read "NAME=VALUE", or the "NAME" of a flag or a number. `owner` has the attributes, for errors.

    Raises:
        UsageError: there is no such attribute or value, or a number has a value.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    known = {one.name: one for one in each if one.kind.name != "text"}
    if name not in known:
        having = [f"{one.name}={name}" for one in known.values() if name in one.values]
        close = f"; did you mean {' or '.join(having)}?" if having else did_you_mean(name, list(known))
        hint = f"It has {format_names(list(known), _MOST_NAMED)}." if known else "It has none but text: use --text."
        raise UsageError(f"--label {text}: {owner} has no such attribute{close}", hint)
    one = known[name]
    if one.kind.name == "number":
        if equals:
            raise UsageError(f"--label {text}: {name} is a number", f"--label {name} leads to higher ones.")
        return Aim(one, None)
    if one.kind.name == "flag" and not equals:
        return Aim(one, 1)
    names = value_names(one)
    if value not in names:
        hint = f"It has {format_names(list(names), _MOST_NAMED)}."
        reason = f"there is no such value{did_you_mean(value, names)}" if equals else f"not {name}=VALUE"
        raise UsageError(f"--label {text}: {reason}", hint)
    return Aim(one, names.index(value))


def targets_of_images(attributes: AttributeValues, aim: Aim) -> NDArray[np.float64]:
    """What images have: 1 for the value and 0 for others, or the number; float64 `[N]`, unknown NaN."""
    columns = attributes.of(aim.one.name).astype(np.float64)
    if aim.value is None:
        return columns[:, 0]
    if aim.one.kind.name == "several":
        return columns[:, aim.value]
    return np.where(np.isnan(columns[:, 0]), np.nan, columns[:, 0] == aim.value)


def labels_with_and_without(attributes: Attributes, aim: Aim, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Labels of seeds that differ in the aim alone, each `[N, columns]`; for a number the highest and the lowest.

    The rest is as `draw_attributes` draws it. Instead of a class, others are drawn, as often as in training.
    """
    without, name, kind = draw_attributes(attributes, seeds), aim.one.name, aim.one.kind.name
    place, having = attributes.places[name], without.clone()
    if kind == "class":
        having[:, place] = float(aim.value or 0)
        without[:, place] = _other_classes(attributes, aim, seeds)
    elif kind == "several":
        without[:, place], having[:, place] = without[:, place].nan_to_num(0.0), having[:, place].nan_to_num(0.0)
        column = place.start + (aim.value or 0)
        having[:, column], without[:, column] = 1.0, 0.0
    else:
        high = 1.0 if aim.value is None else float(aim.value)
        having[:, place], without[:, place] = high, 1.0 - high
    return having, without


def classes_with_and_without(classes: Classes, value: str, seeds: Sequence[int], owner: str) -> tuple[Tensor, Tensor]:
    """A class for all seeds, and other classes instead, as often as in training: int64 `[N]` each.

    Args:
        classes: The model's classes.
        value: Name of a class, also as "class=NAME".
        seeds: N seeds.
        owner: Has the classes, for errors.

    Raises:
        UsageError: there is no such class, or no other one.
    """
    names = classes.names
    name = value if value in names else value.removeprefix(f"{CLASS}=").strip()
    if name not in names:
        hint = f"It has {format_names(list(names), _MOST_NAMED)}."
        raise UsageError(f"--label {value}: {owner} has no such class{did_you_mean(name, names)}", hint)
    if len(names) < 2:
        raise UsageError(f"--label {value}: {owner} has no other class", "Give --data: a store with labels.")
    number = names.index(name)
    seen = classes.shares if classes.shares[number] < 1 else classes.even
    shares = [0.0 if other == number else share for other, share in enumerate(seen)]
    having = torch.full((len(seeds),), number, dtype=torch.int64)
    return having, draw_labels(seeds, shares)


def _other_classes(attributes: Attributes, aim: Aim, seeds: Sequence[int]) -> Tensor:
    """Classes of training images that are not the aim's, `[N, 1]`; all others in turn if there are none."""
    found = attributes.rows[:, attributes.places[aim.one.name]].flatten()
    others = found[(found != aim.value) & ~found.isnan()]
    if not len(others):
        others = torch.tensor([float(value) for value in range(aim.one.kind.size) if value != aim.value])
    drawn = torch.from_numpy(np.random.default_rng(0).integers(len(others), size=len(seeds)))
    return others[drawn][:, None]


def text_with_and_without(
    attributes: Attributes, name: str, columns: Tensor, seeds: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Labels of seeds with a text `[C]`, and with the texts of training images instead, each `[N, columns]`."""
    without = draw_attributes(attributes, seeds)
    having = without.clone()
    having[:, attributes.places[name]] = columns
    return having, without

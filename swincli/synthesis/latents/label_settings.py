"""Values of attributes as users give them, `hair=red,glasses=yes,age=30`, and as captions and notes spell them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.errors import UsageError, did_you_mean
from swincli.model.files.attributes import Attributes
from swincli.recipe.attributes import Attribute
from swincli.units import format_names

EVERY, UNKNOWN, NONE, OR = "all", "unknown", "none", "|"
EVERY_STEPS = 5  # values of a number that takes all its values
_SWITCH = {"yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}
_MOST_NAMED = 20
_SAME_TEXT = 0.999  # cosine; rows of a model are rounded


@dataclass(frozen=True)
class LabelSettings:
    """What is set of the attributes of images.

    Attributes:
        values: Columns `[C]` by name.
        turn: Name of the attribute that takes several values in turn; None for none.
        turns: Those values, each `[C]`, in their order.
    """

    values: Mapping[str, Tensor]
    turn: str | None = None
    turns: Sequence[Tensor] = ()


def parse_labels(attributes: Attributes, texts: Sequence[str]) -> LabelSettings:
    """The settings of `--label`, each NAME=VALUE or several of them separated by commas; one may take values in turn.

    Raises:
        UsageError: a text has another form, names an attribute or a value that the model does not have, sets one twice,
            or a number lies outside the range of training.
    """
    values, turn, turns = dict[str, Tensor](), None, list[Tensor]()
    known = {one.name: one for one in attributes.each}
    for text in texts:
        for part in re.split(r",(?=[^,=]+=)", text):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals:
                raise UsageError(f"--label {part.strip()}: not NAME=VALUE", f"Such as {attributes.each[0].name}=...")
            if name not in known:
                hint = f"It has {format_names(list(known), _MOST_NAMED)}."
                close = did_you_mean(name, list(known))
                raise UsageError(f"--label {part.strip()}: the model has no such attribute{close}", hint)
            if name in values or name == turn:
                hint = f"Values in turn are one setting: {name}=A{OR}B."
                raise UsageError(f"--label {part.strip()}: {name} is set twice", hint)
            several = _turns(known[name], value)
            if not several:
                values[name] = parse_value(known[name], value)
            elif turn is None:
                turn, turns = name, several
            else:
                raise UsageError(f"--label {part.strip()}: {turn} takes values in turn already", "Name a value.")
    return LabelSettings(values, turn, turns)


def _turns(one: Attribute, text: str) -> list[Tensor]:
    """The values of "all" and of "A|B", in their order; none for a single value."""
    if text in one.values or one.kind.name == "text":
        return []
    if text == EVERY:
        return choices(one, EVERY_STEPS)
    return [parse_value(one, part.strip()) for part in text.split(OR)] if OR in text else []


def parse_value(one: Attribute, text: str) -> Tensor:
    """The columns of a value, `[C]`. Raises UsageError if the attribute cannot have it."""
    if text == UNKNOWN and text not in one.values:
        if not one.missing:
            raise _no_value(one, text, "it was known of every image in training")
        return torch.full((one.kind.columns,), math.nan)
    found = _PARSERS[one.kind.name](one, text)
    if found is None:
        raise _no_value(one, text, "there is no such value" + did_you_mean(text, list(one.values)))
    return torch.tensor(found)


def _no_value(one: Attribute, text: str, reason: str) -> UsageError:
    hints = {
        "flag": "It is yes or no.",
        "number": f"It is a number from {one.low} to {one.high}, as in training.",
        "text": "It is a text: use --text.",
    }
    named = f"It has {format_names(list(one.values), _MOST_NAMED)}."
    return UsageError(f"--label {one.name}={text}: {reason}", hints.get(one.kind.name, named))


def _class(one: Attribute, text: str) -> list[float] | None:
    return [float(one.values.index(text))] if text in one.values else None


def _flag(_: Attribute, text: str) -> list[float] | None:
    return [_SWITCH[text.lower()]] if text.lower() in _SWITCH else None


def _number(one: Attribute, text: str) -> list[float] | None:
    try:
        scaled = float(one.scaled(float(text)))
    except ValueError:
        return None
    return [min(max(scaled, 0.0), 1.0)] if -1e-6 <= scaled <= 1 + 1e-6 else None


def _several(one: Attribute, text: str) -> list[float] | None:
    parts = [] if text == NONE else [part.strip() for part in text.split("+")]
    return [float(value in parts) for value in one.values] if set(parts) <= set(one.values) else None


def _text(_: Attribute, __: str) -> list[float] | None:
    return None


_PARSERS = {"class": _class, "flag": _flag, "number": _number, "several": _several, "text": _text}


def choices(one: Attribute, steps: int) -> list[Tensor]:
    """Values of an attribute in order, each `[C]`: all of a class, both of a flag, `steps` numbers over the range, or
    each of several alone.
    """
    if one.kind.name == "number":
        return list(torch.linspace(0, 1, steps)[:, None])
    if one.kind.name == "several":
        return list(torch.eye(one.kind.size))
    return list(torch.arange(2.0 if one.kind.name == "flag" else float(one.kind.size))[:, None])


def spell_value(one: Attribute, columns: Tensor) -> str:
    """A value as users write it: "red", "yes", "30", "left+right"; "unknown" for NaN."""
    if columns.isnan().any():
        return UNKNOWN
    if one.kind.name == "class":
        return one.values[int(columns[0])]
    if one.kind.name == "flag":
        return "yes" if columns[0] > 0.5 else "no"
    if one.low is not None and one.high is not None:
        return f"{one.low + float(columns[0]) * (one.high - one.low):.4g}"
    named = [value for value, there in zip(one.values, columns.tolist(), strict=False) if there]
    return ("+".join(named) or NONE) if one.kind.name == "several" else "a text"


def spell_labels(attributes: Attributes, row: Tensor) -> str:
    """A row of labels `[columns]` as users write it: "age=30,glasses=yes,hair=red"; a text is in quotes."""
    places = attributes.places
    return ",".join(f"{one.name}={_spelled(attributes, one, row[places[one.name]])}" for one in attributes.each)


def _spelled(attributes: Attributes, one: Attribute, columns: Tensor) -> str:
    """A value as users write it; of a text, the training caption that it is."""
    if one.kind.name != "text" or attributes.texts is None or columns.isnan().any():
        return spell_value(one, columns)
    ((caption, cosine),) = attributes.texts.nearest(columns.numpy(), 1)
    return json.dumps(caption) if cosine > _SAME_TEXT else spell_value(one, columns)


def label_caption(attributes: Attributes, shown: Sequence[Attribute], row: Tensor) -> str:
    """Some of an image's labels for a figure, in ASCII: ", hair red, age 30"."""
    text = "".join(f", {one.name} {spell_value(one, row[attributes.places[one.name]])}" for one in shown)
    return text.encode("ascii", "replace").decode()

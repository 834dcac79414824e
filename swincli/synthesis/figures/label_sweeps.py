"""Sweeps of labels: one image with other values of its attributes, a row of values for each attribute."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from swincli.errors import UsageError, did_you_mean
from swincli.model.files.model_file import Model
from swincli.recipe.attributes import Attribute
from swincli.synthesis.figures.labelled_grid import GridLabels, draw_labelled_grid
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.label_settings import choices, spell_value
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sampling import render_all, sampling_batch

LABEL = "label:"
"""What a sweep of labels starts with, before the names."""


def parse_label_sweep(text: str, model: Model) -> list[Attribute]:
    """The attributes of "label:age,hair".

    Raises:
        UsageError: the model has no such attribute, or one without values to go through.
    """
    known = {} if model.attributes is None else {one.name: one for one in model.attributes.each}
    found = []
    for name in text.removeprefix(LABEL).split(","):
        one = known.get(name.strip())
        if one is None or one.kind.name == "text":
            has = f"It has {', '.join(known)}." if known else "It has none."
            close = did_you_mean(name.strip(), list(known))
            raise UsageError(f"--sweep {text}: {model.path} has no attribute {name.strip()} to sweep{close}", has)
        found.append(one)
    return found


@torch.inference_mode()
def label_sweep_page(
    model: Model,
    seed: int,
    row: Tensor,
    swept: Sequence[Attribute],
    steps: int,
    truncation: Truncation,
    batch: int | None = None,
    preview: int | None = None,
) -> Tensor:
    """Draw a seed with each value of some attributes, the others as in `row` `[columns]`: uint8 `[H, W, 3]`.

    A line of the page is an attribute; a number has `steps` values over the range of training. `preview` as in
    `render_all`.
    """
    assert model.attributes is not None
    lines = [choices(one, steps) for one in swept]
    labels = row.repeat(sum(map(len, lines)), 1)
    captions, start = list[str](), 0
    for one, values in zip(swept, lines, strict=True):
        labels[start : start + len(values), model.attributes.places[one.name]] = torch.stack(values)
        captions += [spell_value(one, value).encode("ascii", "replace").decode() for value in values]
        start += len(values)
    codes = codes_of_seeds(model, [seed] * len(labels), truncation, labels)
    size = batch or sampling_batch(model.recipe.model, model.device)
    drawn = iter([picture for images in render_all(model, codes.split(size), preview=preview) for picture in images])
    columns = max(map(len, lines))
    pictures: list[Tensor | None] = []
    words: list[str] = []
    named = iter(captions)
    for values in lines:
        empty = columns - len(values)
        pictures += [next(drawn) for _ in values] + [None] * empty
        words += [next(named) for _ in values] + [""] * empty
    names = [one.name.encode("ascii", "replace").decode() for one in swept]
    title = f"Seed {seed} with other labels"
    return draw_labelled_grid(pictures, columns, GridLabels(title=title, rows=names, captions=words))

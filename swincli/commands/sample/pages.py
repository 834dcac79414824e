"""Pages that `swincli sample` draws of single images: where they look, and how they change along directions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from swincli.commands.sample.request import Request
from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.attention_maps import Layer, default_layers, parse_layers, parse_point
from swincli.synthesis.figures.attention import attention_page
from swincli.synthesis.figures.sweeps import Sweep, parse_sweep, sweep_page
from swincli.synthesis.latents.directions import METHODS
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.output.provenance import Output
from swincli.synthesis.sample_set import SampleSet


@dataclass(frozen=True)
class Page:
    """A picture to be drawn of one image."""

    output: Output
    draw: Callable[[], Tensor]


def attention_pages(
    model: Model, request: Request, drawing: SampleSet, truncation: Truncation, notes: list[str]
) -> Iterator[Page]:
    """Where points of every image look.

    Raises:
        UsageError: the model has no such layer, or the image no such point.
    """
    layers, points = _views(model, request.attention_layers, request.attention_at)
    named = drawing.named
    seen = " ".join(f"{layer.resolution}.{layer.block}" for layer in layers)
    for index, stem in enumerate(named.stems):
        output = Output(request.out / f"{stem}-attention.png", f"{notes[index]} attention={seen} at={points}")
        seed, label = named.seeds[index], named.label(index)
        yield Page(output, partial(_attention, model, seed, layers, points, truncation, label))


def _attention(
    model: Model,
    seed: int,
    layers: list[Layer],
    points: list[tuple[int, int]],
    truncation: Truncation,
    label: int | None,
) -> Tensor:
    return torch.from_numpy(attention_page(model, seed, layers, points, truncation=truncation, label=label))


def _views(model: Model, layers: str | None, points: list[str]) -> tuple[list[Layer], list[tuple[int, int]]]:
    section = model.recipe.model
    chosen = parse_layers(layers, section) if layers is not None else default_layers(section)
    centre = (section.size // 2, section.size // 2)
    return chosen, [parse_point(point, section.size) for point in points] or [centre]


def sweep_pages(model: Model, request: Request, drawing: SampleSet, notes: list[str]) -> Iterator[Page]:
    """Every image along directions.

    Raises:
        UsageError: no such direction or code, or no layer that takes w there.
    """
    text, section = request.sweep or "", model.recipe.model
    try:
        found = parse_sweep(text, section.num_ws, section.latent_dim)
    except ValueError as error:
        raise UsageError(f"--sweep {text}: {error}", "For example --sweep pca:0-3@coarse") from None
    sweep = Sweep(*found, steps=request.sweep_steps, reach=request.sweep_range)
    slug = re.sub("[^a-z0-9,]+", "-", text.strip().lower())
    directions, named = METHODS[sweep.method](model, sweep.layers), drawing.named

    def draw(index: int) -> Tensor:
        code = drawing.codes([index])[0]
        return sweep_page(model, code, directions, sweep, named.captions[index], request.batch)

    for index, stem in enumerate(named.stems):
        output = Output(request.out / f"{stem}-sweep-{slug}.png", f"{notes[index]} sweep={sweep}")
        yield Page(output, partial(draw, index))

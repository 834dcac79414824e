"""Pages about single images that `swincli sample` writes: attention maps, and sweeps along directions in w."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from swincli.commands.options import parsed
from swincli.commands.sample.request import SampleRequest
from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.attention_maps import Layer, default_layers, parse_layers, parse_point
from swincli.synthesis.figures.attention import attention_page
from swincli.synthesis.figures.label_sweeps import label_sweep_page, parse_label_sweep
from swincli.synthesis.figures.palettes import edit_offsets, palette_page
from swincli.synthesis.figures.sweeps import Sweep, parse_sweep, sweep_page
from swincli.synthesis.latents.directions import METHODS
from swincli.synthesis.latents.edits import make_editor
from swincli.synthesis.latents.named_directions import open_direction
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.output.provenance import Output
from swincli.synthesis.sample_set import SampleSet


@dataclass(frozen=True)
class FigurePage:
    """A PNG about one image: `draw()` makes its pixels, uint8 `[H, W, 3]`."""

    output: Output
    draw: Callable[[], Tensor]


def attention_pages(
    model: Model, request: SampleRequest, drawing: SampleSet, truncation: Truncation, notes: list[str]
) -> Iterator[FigurePage]:
    """One page of attention maps for every image.

    Raises:
        UsageError: the model has no such layer, or a pixel lies outside the image.
    """
    layers, points = _layers_and_points(model, request.attention_layers, request.attention_at or [])
    named = drawing.named
    layer_names = " ".join(f"{layer.resolution}.{layer.block}" for layer in layers)
    for index, stem in enumerate(named.stems):
        output = Output(request.folder / f"{stem}-attention.png", f"{notes[index]} attention={layer_names} at={points}")
        seed, labels = named.seeds[index], named.label_row(index)
        yield FigurePage(output, partial(_attention, model, seed, layers, points, truncation, labels))


def _attention(
    model: Model,
    seed: int,
    layers: list[Layer],
    points: list[tuple[int, int]],
    truncation: Truncation,
    labels: Tensor | None,
) -> Tensor:
    return torch.from_numpy(attention_page(model, seed, layers, points, truncation=truncation, labels=labels))


def _layers_and_points(
    model: Model, layers: str | None, points: list[str]
) -> tuple[list[Layer], list[tuple[int, int]]]:
    section = model.recipe.model
    chosen = parse_layers(layers, section) if layers is not None else default_layers(section)
    centre = (section.size // 2, section.size // 2)
    return chosen, [parse_point(point, section.size) for point in points] or [centre]


def sweep_pages(
    model: Model, request: SampleRequest, drawing: SampleSet, truncation: Truncation, notes: list[str]
) -> Iterator[FigurePage]:
    """One page for every image, with the image moved along each direction of `--sweep`, or with other labels.

    Raises:
        UsageError: `--sweep` cannot be read, the model has no such direction, code or attribute, or no layer takes w
            there.
    """
    text, section = request.sweep or "", model.recipe.model
    if request.sweeps_labels:
        yield from _label_pages(model, request, drawing, truncation, notes)
        return
    found = parsed(
        "--sweep",
        text,
        lambda spec: parse_sweep(spec, section.num_ws, section.latent_dim),
        "For example --sweep pca:0-3@coarse",
    )
    sweep = Sweep(*found, steps=request.sweep_steps, reach=request.sweep_range)
    slug = re.sub("[^a-z0-9,]+", "-", text.strip().lower())
    directions, named = METHODS[sweep.method](model, sweep.layers), drawing.named

    def draw(index: int) -> Tensor:
        code = drawing.codes([index])[0]
        return sweep_page(model, code, directions, sweep, named.captions[index], request.batch, request.preview)

    for index, stem in enumerate(named.stems):
        output = Output(request.folder / f"{stem}-sweep-{slug}.png", f"{notes[index]} sweep={sweep}")
        yield FigurePage(output, partial(draw, index))


def palette_pages(model: Model, request: SampleRequest, drawing: SampleSet, notes: list[str]) -> Iterator[FigurePage]:
    """One page for every image, with the image moved along the two directions of `--palette`.

    Raises:
        SwincliError: the model has no such direction, or its file is damaged.
    """
    directions = [open_direction(model, name) for name in request.palette_names]
    editor = make_editor(model, directions)
    offsets = edit_offsets(request.sweep_steps, request.sweep_range)
    names = "-".join(direction.name for direction in directions)
    what = "+".join(f"{direction.name}:{direction.digest}" for direction in directions)

    def draw(index: int) -> Tensor:
        code = drawing.codes([index])[0]
        return palette_page(editor, code, offsets, drawing.named.captions[index], request.batch, request.preview)

    settings = f"palette={what} steps={request.sweep_steps} range={request.sweep_range:g}"
    for index, stem in enumerate(drawing.named.stems):
        output = Output(request.folder / f"{stem}-palette-{names}.png", f"{notes[index]} {settings}")
        yield FigurePage(output, partial(draw, index))


def _label_pages(
    model: Model, request: SampleRequest, drawing: SampleSet, truncation: Truncation, notes: list[str]
) -> Iterator[FigurePage]:
    """One page for every image of a seed, with a row of values for each attribute of `--sweep label:NAMES`."""
    text, named = request.sweep or "", drawing.named
    swept = parse_label_sweep(text, model)
    if named.labels is None or not named.seeds:
        raise UsageError(f"--sweep {text}: needs the images of seeds", "Give --seeds.")
    slug = re.sub("[^a-z0-9,]+", "-", text.strip().lower())
    for index, (stem, seed, row) in enumerate(zip(named.stems, named.seeds, named.labels, strict=True)):
        settings = request.sweep_steps, truncation, request.batch, request.preview
        draw = partial(label_sweep_page, model, seed, row, swept, *settings)
        note = f"{notes[index]} sweep={text} steps={request.sweep_steps}"
        yield FigurePage(Output(request.folder / f"{stem}-sweep-{slug}.png", note), draw)

"""`show_direction`: a strip of images along a direction, and the numbers about it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

from swincli.commands.directions.files import describe
from swincli.commands.directions.request import ShowRequest
from swincli.commands.model_options import open_model
from swincli.commands.options import parsed
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.errors import SwincliError
from swincli.metrics.directions.effects import Effects, Region, measure_effects
from swincli.metrics.directions.examples import features_of_reals
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model
from swincli.synthesis.figures.labelled_grid import signed
from swincli.synthesis.figures.palettes import UNITS, edit_offsets, strip_page
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.edits import make_editor
from swincli.synthesis.latents.named_directions import (
    Judge,
    NamedDirection,
    known_directions,
    open_direction,
    read_direction,
)
from swincli.synthesis.output.provenance import Output, save_image
from swincli.system.overwrite import check_overwrite, numbered

STEPS = 7
FIRST_MEASURED = 1_000_000  # seed: the images that are measured are not those that found the direction


def show_direction(request: ShowRequest, device: torch.device, console: Console) -> Result:
    """Draw the strip, measure, and print the numbers.

    Raises:
        SwincliError: the direction or the real images cannot be opened, or the strip cannot be written.
    """
    model = open_model(request.checkpoint, device)
    direction = open_direction(model, request.name)
    size = model.recipe.model.size
    region = None if request.region is None else parsed("--region", request.region, lambda text: _region(text, size))
    out = _file(request, direction.name)
    editor = make_editor(model, [direction])
    offsets = sorted({*edit_offsets(STEPS, request.reach), 0.0, 1.0})
    reals = None if request.data is None else features_of_reals(request.data, size, device)
    judges = _judges(model, direction)
    seeds = range(FIRST_MEASURED, FIRST_MEASURED + request.num)
    effects = measure_effects(model, editor, seeds, offsets, judges, region, reals)
    title = f"{direction.name}: {UNITS}"
    rows = [f"seed {seed}" for seed in request.seed_list]
    page = strip_page(editor, codes_of_seeds(model, request.seed_list), edit_offsets(STEPS, request.reach), rows, title)
    note = f"directions show model={model_identity(model.path)} direction={direction.name}:{direction.digest}"
    save_image(Output(out, f"{note} seeds={request.seeds} range={request.reach}"), page)
    for line in _lines(direction, effects):
        console.say(line)
    facts = {
        "path": str(out),
        "name": direction.name,
        **describe(direction),
        "score_changes": effects.score_changes,
        "locality": effects.locality,
        "offsets": effects.offsets,
        "distances": effects.distances,
        "safe_range": effects.safe_range,
    }
    return Result(facts, [str(out)])


def _judges(model: Model, direction: NamedDirection) -> dict[str, Judge]:
    """The scores of this direction and of all others of the model."""
    found = {direction.name: direction.judge} if direction.judge else {}
    for name, path in known_directions(model).items():
        try:
            other = read_direction(path, model)
        except SwincliError:
            continue
        if other.judge is not None:
            found.setdefault(name, other.judge)
    return found


def _lines(direction: NamedDirection, effects: Effects) -> list[str]:
    quality = ", ".join(f"{name} {value:.3g}" for name, value in direction.quality.items())
    lines = [f"{direction.name}: {direction.source}", f"  {quality}"]
    changes = sorted(effects.score_changes.items(), key=lambda pair: (pair[0] != direction.name, -abs(pair[1])))
    if changes:
        said = ", ".join(f"{name} {change:+.2f}" for name, change in changes)
        lines.append(f"  change of the scores at +1, in their standard deviations: {said}")
    lines.append(f"  locality: {effects.locality:.2f} of the change lies in a quarter of the picture or in --region")
    if effects.distances is not None:
        steps = zip(effects.offsets, effects.distances, strict=True)
        lines.append("  distance from real images: " + ", ".join(f"{signed(x)}: {y:.2f}" for x, y in steps))
        lines.append(f"  safe range: +-{effects.safe_range:g}")
    return lines


def _region(text: str, size: int) -> Region:
    """Read "X,Y,W,H".

    Raises:
        ValueError: not four numbers, or not inside the image.
    """
    if not re.fullmatch(r"\s*\d{1,5}(\s*,\s*\d{1,5}){3}\s*", text):
        raise ValueError("must be X,Y,W,H in pixels, such as 8,4,16,8")
    left, top, width, height = map(int, text.split(","))
    if not width or not height or left + width > size or top + height > size:
        raise ValueError(f"lies outside the image of {size} x {size} px")
    return Region(left, top, left + width, top + height)


def _file(request: ShowRequest, name: str) -> Path:
    if request.out is not None:
        check_overwrite([request.out], force=request.force)
        return request.out
    first = Path(f"{name}.png")
    return first if request.force else next(path for path in numbered(first) if not os.path.lexists(path))

"""A trained generator with other token mixers at some resolutions, before distillation repairs its images."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import ValidationError

from swincli.errors import UsageError, did_you_mean
from swincli.model.files.model_file import Model
from swincli.model.generator import Generator
from swincli.model.mixers.registry import MIXERS, mixers_with
from swincli.recipe import Recipe
from swincli.recipe.networks import ALL_HEADS_FROM
from swincli.recipe.schema import ModelSection

SEED = 0
"""Seed of the new mixers' weights."""


def parse_exchange(text: str) -> dict[int, str]:
    """Parse mixers by resolution: "64=dw7,128=dw7".

    Raises:
        UsageError: the text has another form, names no mixer, or a side twice.
    """
    chosen: dict[int, str] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})\s*=\s*(\S+)\s*", part)
        if match is None:
            raise UsageError(f"--mixers {text}: {part.strip()!r} is not SIDE=NAME", "For example --mixers 64=dw7")
        if match[2] not in MIXERS:
            raise UsageError(
                f"--mixers {text}: no mixer {match[2]!r}{did_you_mean(match[2], MIXERS)}",
                f"There are {', '.join(MIXERS)}.",
            )
        if (side := int(match[1])) in chosen:
            raise UsageError(f"--mixers {text}: {side} px has two mixers", "Give each side once.")
        chosen[side] = match[2]
    return chosen


def exchanged_section(recipe: Recipe, chosen: dict[int, str], path: Path) -> ModelSection:
    """The [model] section of a model with other mixers at some resolutions.

    Raises:
        UsageError: the model has no such resolution, a mixer does not work there, or nothing changes.
    """
    config = recipe.model
    names = mixers_with(config, {})
    for side, name in chosen.items():
        mixer = MIXERS[name]
        if str(side) not in names:
            sides = ", ".join(names)
            raise UsageError(f"--mixers {side}={name}: {path} has no maps of {side} px", f"It has {sides} px.")
        if not mixer.works_at(side):
            most = f" to {mixer.largest}" if mixer.largest is not None else ""
            raise UsageError(f"--mixers {side}={name}: the mixer works from {mixer.smallest}{most} px", "Leave it out.")
    table = mixers_with(config, chosen)
    if table == names:
        raise UsageError(f"--mixers: {path} has these mixers already", "Give others.")
    try:
        section = config.model_dump() | {"mixer": table, **_heads_left(config, table)}
        return Recipe.model_validate(recipe.model_dump() | {"model": section}).model
    except ValidationError as error:
        raise UsageError(f"--mixers: {error.errors()[0]['msg']}", "Give others.") from None


def _heads_left(config: ModelSection, table: dict[str, str]) -> dict[str, dict[str, int]]:
    """`kept_heads` of a pruned model, where the mixers can have it."""
    if config.kept_heads is None:
        return {}
    left = {
        side: config.heads_at(int(side)) if _keeps_all(name, int(side)) else config.kept_heads_at(int(side))
        for side, name in table.items()
    }
    return {"kept_heads": left}


def _keeps_all(mixer: str, side: int) -> bool:
    return side >= ALL_HEADS_FROM.get(mixer, side + 1)


def exchange(model: Model, section: ModelSection) -> Model:
    """A model with the mixers of a section; all weights that have the same name and shape are taken over.

    The others start as in training. The model itself stays as it is.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        generator = Generator(section)
    fresh = generator.state_dict()
    known = {name: value.cpu() for name, value in model.generator.state_dict().items() if name in fresh}
    taken = {name: value for name, value in known.items() if value.shape == fresh[name].shape}
    generator.load_state_dict(fresh | taken)
    recipe = model.recipe.model_copy(update={"model": section})
    frozen = generator.to(model.device).requires_grad_(False).eval()
    return replace(model, generator=frozen, recipe=recipe)

"""A smaller generator from a trained one: without the weakest hidden units of its MLPs, and without the weakest heads.

All blocks of a level keep the same numbers, so that the recipe of the result has one number per resolution
(`mlp_hidden`, `kept_heads`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from swincli.console import Advance
from swincli.errors import UsageError
from swincli.model.blocks.attention import GroupedAttention
from swincli.model.blocks.mlp import Mlp
from swincli.model.files.model_file import Model
from swincli.model.generator import Block, Generator
from swincli.model.meta_init import meta_init
from swincli.model.mixers.registry import has_windows
from swincli.recipe.schema import ModelSection
from swincli.synthesis.latents.classes import labels_as_trained
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.sampling import sampling_batch
from swincli.training.pruning.heads import HeadStatistics, HeadSums, prune_heads
from swincli.training.pruning.mlp_units import UnitStatistics, UnitSums, prune_units

LATENTS = 1000
"""Images whose activations are measured: those of seeds 0 to 999."""

MULTIPLE = 8
"""The units that a block keeps are a multiple of this, which vector units and tensor cores like."""


@dataclass(frozen=True)
class Kept:
    """What each resolution keeps.

    Attributes:
        units: Hidden units of an MLP.
        heads: Heads of an attention; sides without window attention are missing.
    """

    units: dict[int, int]
    heads: dict[int, int]


@dataclass(frozen=True)
class Statistics:
    """What was measured of every MLP and of every window attention, by their names in the generator."""

    units: dict[str, UnitStatistics]
    heads: dict[str, HeadStatistics]


def check_prunable(config: ModelSection, path: Path, share: float) -> Kept:
    """What each resolution of a model keeps if a share of its units is removed, and of its heads at most this share.

    Half of the heads have windows of their own, so heads go in pairs. With `kv_heads` or a score mask, all stay.

    Raises:
        UsageError: the share removes nothing, or the model is pruned already or has another kind of MLP.
    """
    if pruned := [key for key in ("mlp_hidden", "kept_heads") if getattr(config, key) is not None]:
        hint = "Prune the model that it was made from, with a larger share."
        raise UsageError(f"--prune {share:g}: {path} is pruned already, or was trained so (model.{pruned[0]})", hint)
    if config.style == "modulated-mlp":
        hint = "A modulated layer is divided by a norm over all of its units."
        raise UsageError(f'--prune {share:g}: {path} has model.style = "modulated-mlp"', hint)
    hidden = {side: config.hidden_at(side) for side in config.resolutions}
    units = {
        side: min(count, max(MULTIPLE, round(count * (1 - share) / MULTIPLE) * MULTIPLE))
        for side, count in hidden.items()
    }
    heads = {side: config.heads_at(side) for side in config.resolutions if _has_prunable_heads(config, side)}
    left = {side: max(2, 2 * math.ceil(round(count * (1 - share) / 2, 6))) for side, count in heads.items()}
    if (units, left) == (hidden, heads):
        raise UsageError(f"--prune {share:g}: removes no unit of this model", "Give a larger share, such as 0.3.")
    return Kept(units, left)


def _has_prunable_heads(config: ModelSection, side: int) -> bool:
    shared = config.kv_heads_at(side) != config.heads_at(side)
    return has_windows(config, side) and not shared and config.score_mask == "none"


def pruned_keys(config: ModelSection, kept: Kept) -> dict[str, dict[str, int]]:
    """The keys of [model] that say what is left: mlp_hidden, and kept_heads if any head goes."""
    keys = {"mlp_hidden": {str(side): units for side, units in kept.units.items()}}
    if any(count != config.heads_at(side) for side, count in kept.heads.items()):
        heads = {side: kept.heads.get(side, config.heads_at(side)) for side in config.resolutions}
        keys["kept_heads"] = {str(side): count for side, count in heads.items()}
    return keys


def smaller_section(config: ModelSection, kept: Kept) -> ModelSection:
    """The [model] section with what `check_prunable` keeps."""
    return ModelSection.model_validate(config.model_dump() | pruned_keys(config, kept))


def measure_parts(model: Model, images: int = LATENTS, advance: Advance = lambda _=1: None) -> Statistics:
    """Statistics of all MLPs and heads over the images of seeds 0, 1, ..., which are drawn once."""
    seeds, batch = range(images), sampling_batch(model.recipe.model, model.device)
    with _recording(model.generator) as (units, heads):
        for start in range(0, images, batch):
            part = seeds[start : start + batch]
            w_plus = codes_of_seeds(model, part, labels=labels_as_trained(model, part))
            with torch.inference_mode():
                model.generator.synthesise(w_plus)
            advance(len(part))
    return Statistics(
        {name: sums.statistics() for name, sums in units.items()},
        {name: sums.statistics() for name, sums in heads.items()},
    )


@contextmanager
def _recording(generator: Generator) -> Iterator[tuple[dict[str, UnitSums], dict[str, HeadSums]]]:
    units: dict[str, UnitSums] = {}
    heads: dict[str, HeadSums] = {}
    hooks = []
    for name, block in _blocks(generator):
        if isinstance(block.mlp, Mlp):
            units[f"{name}.mlp"] = UnitSums(block.mlp)
            hooks.append(block.mlp.register_forward_pre_hook(units[f"{name}.mlp"]))
        if isinstance(block.attention, GroupedAttention):
            heads[f"{name}.attention"] = HeadSums(block.attention)
            hooks.append(block.attention.proj.register_forward_pre_hook(heads[f"{name}.attention"]))
    try:
        yield units, heads
    finally:
        for hook in hooks:
            hook.remove()


def _blocks(generator: Generator) -> list[tuple[str, Block]]:
    return [(name, module) for name, module in generator.named_modules() if isinstance(module, Block)]


def prune(model: Model, kept: Kept, statistics: Statistics) -> Model:
    """A model with fewer hidden units and heads per level; the mean of what is removed goes to the biases.

    Args:
        model: The model, which stays as it is.
        kept: What each resolution keeps, as from `check_prunable`.
        statistics: From `measure_parts`.
    """
    section = smaller_section(model.recipe.model, kept)
    weights = {name: value.clone() for name, value in model.generator.state_dict().items()}
    blocks = _blocks(model.generator)
    per_level = len(blocks) // len(section.resolutions)
    for index, (name, block) in enumerate(blocks):
        side = section.resolutions[index // per_level]
        if isinstance(block.mlp, Mlp):
            mlp = f"{name}.mlp"
            prune_units(weights, mlp, block.mlp, statistics.units[mlp], kept.units[side])
        if side in kept.heads and isinstance(block.attention, GroupedAttention):
            attention = f"{name}.attention"
            prune_heads(weights, attention, block.attention, statistics.heads[attention], kept.heads[side])
    with meta_init():
        generator = Generator(section)
    generator.load_state_dict(weights, assign=True)
    recipe = model.recipe.model_copy(update={"model": section})
    return replace(model, generator=generator.requires_grad_(False).eval(), recipe=recipe)

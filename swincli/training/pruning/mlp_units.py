"""Hidden units of G's MLPs: how much each adds to the images, and a smaller generator without the weakest ones.

A unit adds its activation times its column of the second layer. Its effect is the norm of the column times the standard
deviation of the activation over images and positions: that much changes if the unit goes and its mean moves into the
bias. Both blocks of a level keep the same number of units, so that the recipe of the result (`mlp_hidden`) has one
number per resolution.

Heads stay. Without some heads, q, k and v would be narrower than the block, which no recipe can say. The MLPs have 60 %
of the multiply-adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.console import Advance
from swincli.errors import UsageError
from swincli.model.blocks.mlp import Mlp
from swincli.model.files.model_file import Model
from swincli.model.generator import Block, Generator
from swincli.model.meta_init import meta_init
from swincli.recipe.schema import ModelSection
from swincli.synthesis.latents.classes import labels_as_trained
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.sampling import sampling_batch

LATENTS = 1000
"""Images whose activations are measured: those of seeds 0 to 999."""

MULTIPLE = 8
"""The units that a block keeps are a multiple of this, which vector units and tensor cores like."""

POSITIONS = 2**16
"""Positions whose activations are computed at once."""


@dataclass(frozen=True)
class UnitStatistics:
    """Mean and standard deviation of the units of one MLP after the GELU, float64 `[hidden]` on the CPU."""

    mean: Tensor
    deviation: Tensor


class _Sums:
    """Sums of activations and of their squares; a forward pre-hook of an MLP."""

    def __init__(self, hidden: int) -> None:
        self.total, self.squares = torch.zeros(2, hidden, dtype=torch.float64)
        self.count = 0

    def __call__(self, mlp: nn.Module, given: tuple[Tensor, Tensor]) -> None:
        assert isinstance(mlp, Mlp)
        for part in given[0].flatten(0, -2).split(POSITIONS):
            units = F.gelu(F.linear(part, mlp.expand.weight, mlp.expand.bias))
            self.total += units.sum(dim=0).cpu()
            self.squares += units.square().sum(dim=0).cpu()
            self.count += len(units)

    def statistics(self) -> UnitStatistics:
        mean = self.total / self.count
        return UnitStatistics(mean, (self.squares / self.count - mean.square()).clamp(min=0).sqrt())


def check_prunable(config: ModelSection, path: Path, share: float) -> dict[int, int]:
    """The hidden channels that each resolution of a model keeps if a share of them is removed.

    Raises:
        UsageError: the share removes nothing, or the model is pruned already or has another kind of MLP.
    """
    if config.mlp_hidden is not None:
        hint = "Prune the model that it was made from, with a larger share."
        raise UsageError(f"--prune {share:g}: {path} is pruned already (model.mlp_hidden)", hint)
    if config.style == "modulated-mlp":
        hint = "A modulated layer is divided by a norm over all of its units."
        raise UsageError(f'--prune {share:g}: {path} has model.style = "modulated-mlp"', hint)
    hidden = {side: config.hidden_at(side) for side in config.resolutions}
    kept = {
        side: min(units, max(MULTIPLE, round(units * (1 - share) / MULTIPLE) * MULTIPLE))
        for side, units in hidden.items()
    }
    if kept == hidden:
        raise UsageError(f"--prune {share:g}: removes no unit of this model", "Give a larger share, such as 0.3.")
    return kept


def smaller_section(config: ModelSection, kept: dict[int, int]) -> ModelSection:
    """The [model] section with the hidden channels of `check_prunable`."""
    by_side = {str(side): units for side, units in kept.items()}
    return ModelSection.model_validate(config.model_dump() | {"mlp_hidden": by_side})


def unit_statistics(model: Model, images: int = LATENTS, advance: Advance = lambda _=1: None) -> list[UnitStatistics]:
    """Statistics of all MLPs over the images of seeds 0, 1, ..., in the order of the blocks."""
    seeds, batch = range(images), sampling_batch(model.recipe.model, model.device)
    with _recording(model.generator) as sums:
        for start in range(0, images, batch):
            part = seeds[start : start + batch]
            w_plus = codes_of_seeds(model, part, labels=labels_as_trained(model, part))
            with torch.inference_mode():
                model.generator.synthesise(w_plus)
            advance(len(part))
    return [each.statistics() for each in sums]


@contextmanager
def _recording(generator: Generator) -> Iterator[list[_Sums]]:
    mlps = mlps_of(generator)
    sums = [_Sums(mlp.expand.out_features) for mlp in mlps]
    hooks = [mlp.register_forward_pre_hook(each) for mlp, each in zip(mlps, sums, strict=True)]
    try:
        yield sums
    finally:
        for hook in hooks:
            hook.remove()


def mlps_of(generator: Generator) -> list[Mlp]:
    """The MLPs of all blocks, in their order."""
    blocks = (module for module in generator.modules() if isinstance(module, Block))
    return [block.mlp for block in blocks if isinstance(block.mlp, Mlp)]


def strongest_units(mlp: Mlp, statistics: UnitStatistics, count: int) -> Tensor:
    """Indices of the units with the largest effects, int64 `[count]`, in their order."""
    columns = mlp.contract.weight.detach().double().cpu().norm(dim=0)
    strongest = (columns * statistics.deviation).argsort(descending=True, stable=True)[:count]
    return torch.sort(strongest).values


def prune(model: Model, kept: dict[int, int], statistics: Sequence[UnitStatistics]) -> Model:
    """A model with fewer hidden units per level; the mean of each removed unit goes to the bias.

    Args:
        model: The model, which stays as it is.
        kept: Hidden channels of each resolution, as from `check_prunable`.
        statistics: Of all MLPs, from `unit_statistics`.
    """
    section = smaller_section(model.recipe.model, kept)
    weights = {name: value.clone() for name, value in model.generator.state_dict().items()}
    names = {module: name for name, module in model.generator.named_modules()}
    counts, blocks = list(kept.values()), len(statistics) // len(kept)
    for index, (mlp, known) in enumerate(zip(mlps_of(model.generator), statistics, strict=True)):
        count, name = counts[index // blocks], names[mlp]
        chosen = strongest_units(mlp, known, count).to(model.device)
        removed = torch.ones(len(known.mean), dtype=torch.bool, device=model.device)
        removed[chosen] = False
        expand, bias, contract = (
            weights[f"{name}.{end}"] for end in ("expand.weight", "expand.bias", "contract.weight")
        )
        if count < len(removed):
            means = known.mean.to(contract)[removed]
            weights[f"{name}.contract.bias"] += contract[:, removed] @ means
        weights[f"{name}.expand.weight"], weights[f"{name}.expand.bias"] = expand[chosen], bias[chosen]
        weights[f"{name}.contract.weight"] = contract[:, chosen].contiguous()
    with meta_init():
        generator = Generator(section)
    generator.load_state_dict(weights, assign=True)
    recipe = model.recipe.model_copy(update={"model": section})
    return replace(model, generator=generator.requires_grad_(False).eval(), recipe=recipe)

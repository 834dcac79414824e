"""Launches of each token mixer, forward and backward, counted on the meta device by `dispatch_counts`."""

from __future__ import annotations

import torch
from dispatch_counts import META, Counts, as_on_a_gpu, counting
from torch import Tensor, nn

from swincli.model.meta_init import meta_init
from swincli.model.mixers.registry import MIXERS
from swincli.recipe import Recipe

SIDE = 64
"""Side of the map that is mixed."""


def count_mixers(recipe: Recipe, side: int = SIDE) -> dict[str, dict[str, Counts]]:
    """What a mixer does in the second block of a resolution, by its name: "forward" and "backward".

    The normalised map and w need gradients, as do the weights. The block around it is not counted.
    """
    return {name: _count(recipe, name, side) for name in MIXERS}


def _count(recipe: Recipe, name: str, side: int) -> dict[str, Counts]:
    model = recipe.model.model_copy(update={"mixer": name})
    with meta_init():
        module: nn.Module = MIXERS[name].build(model, side, model.width_at(side), 1)  # with latents, shifted windows
    module.to_empty(device=META)
    x = torch.empty(recipe.train.batch, side, side, model.width_at(side), device=META, requires_grad=True)
    w = torch.empty(recipe.train.batch, model.latent_dim, device=META, requires_grad=True)
    given = (x, w) if MIXERS[name].takes_w else (x,)
    with as_on_a_gpu():
        module(*given)  # fills the caches
        with counting() as parts:
            with parts.part("forward"):
                out: Tensor = module(*given)
            grad = torch.empty_like(out)
            with parts.part("backward"):
                torch.autograd.grad(out, [*given, *module.parameters()], grad, allow_unused=True)
    return {part: parts.counts[part] for part in ("forward", "backward")}

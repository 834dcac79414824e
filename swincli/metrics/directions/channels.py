"""Style channels that a few examples have in common (StyleSpace: Wu et al., CVPR 2021, section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.errors import DataError, UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.style_channels import StyleChannel, all_channels, style_values

POPULATION = 1000  # seeds whose channels give mean and deviation
FEWEST = 5  # examples; 10 to 30 are usual
_STILL = 1e-6  # channels that vary less do nothing


@dataclass(frozen=True)
class RankedChannel:
    """A channel, and how far the examples lie from the population in it.

    Attributes:
        channel: The channel.
        rank: |mean| / deviation of the examples' normalised values.
        shift: Mean of the normalised values: how many standard deviations the examples lie off.
        sigma: Standard deviation of the channel over the population.
    """

    channel: StyleChannel
    rank: float
    shift: float
    sigma: float


@torch.inference_mode()
def rank_channels(model: Model, examples: Tensor, most: int) -> list[RankedChannel]:
    """The channels in which examples have most in common, compared with the images of 1,000 seeds.

    Args:
        model: A model with adaptive norms.
        examples: Their w+, `[N, L, latent_dim]`.
        most: Number of channels.

    Raises:
        UsageError: the model has no style channels.
        DataError: fewer than 5 different examples.
    """
    channels = all_channels(model.generator)
    if not channels:
        raise UsageError(
            f"{model.path}: its style injection, {model.recipe.model.style}, has no style channels",
            "Use `swincli directions find`, which works in w.",
        )
    different = len(torch.unique(examples, dim=0))
    if different < FEWEST:
        raise DataError(
            f"--positive: {different} different examples; at least {FEWEST} are needed", "10 to 30 are usual."
        )
    population = style_values(model.generator, codes_of_seeds(model, range(POPULATION))).cpu().double()
    mean, sigma = population.mean(dim=0), population.std(dim=0)
    moving = sigma > _STILL * sigma.max()
    normal = (style_values(model.generator, examples).cpu().double() - mean) / sigma.where(
        moving, torch.ones_like(sigma)
    )
    shift, spread = normal.mean(dim=0), normal.std(dim=0)
    rank = torch.where(moving, shift.abs() / spread.clamp_min(1e-3), torch.zeros_like(shift))
    best = rank.topk(min(most, len(rank))).indices.tolist()
    return [RankedChannel(channels[i], float(rank[i]), float(shift[i]), float(sigma[i])) for i in best]

"""The kinds of discriminator: a table of builders."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from swincli.model.discriminators.residual import PatchDiscriminator, PlainDiscriminator
from swincli.model.discriminators.wavelet import Discriminator
from swincli.recipe.schema import ModelSection

DISCRIMINATORS: dict[str, Callable[[ModelSection], nn.Module]] = {
    "wavelet": Discriminator,
    "plain": PlainDiscriminator,
    "patch": PatchDiscriminator,
}
"""Images `[B, 3, size, size]` to logits `[B, ...]`, from the recipe's [model] section."""


def make_discriminator(config: ModelSection) -> nn.Module:
    """The discriminator that a recipe's [model] section asks for.

    Raises:
        UsageError: its wavelet is unknown, or longer than the smallest image it is applied to.
    """
    return DISCRIMINATORS[config.discriminator](config)

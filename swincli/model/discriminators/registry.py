"""The discriminator registry: a table of builders."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from swincli.model.discriminators.frozen_features import FrozenFeatureDiscriminator
from swincli.model.discriminators.residual import PatchDiscriminator, ResidualDiscriminator
from swincli.model.discriminators.wavelet import WaveletDiscriminator
from swincli.recipe.schema import ModelSection

DISCRIMINATORS: dict[str, Callable[[ModelSection], nn.Module]] = {
    "wavelet": WaveletDiscriminator,
    "plain": ResidualDiscriminator,
    "patch": PatchDiscriminator,
    "features": FrozenFeatureDiscriminator,
}
"""Builders from the recipe's [model] section; a discriminator maps images `[B, 3, size, size]` to logits `[B, ...]`."""


def make_discriminator(config: ModelSection) -> nn.Module:
    """Build the discriminator of a recipe's [model] section.

    Raises:
        UsageError: the wavelet is unknown, or has too many taps for the smallest image of the pyramid.
    """
    return DISCRIMINATORS[config.discriminator](config)

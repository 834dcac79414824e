"""FreezeD (Mo et al., 2020): fine-tuning with the layers of D nearest the image frozen."""

from __future__ import annotations

import itertools

from torch import nn

from swincli.errors import RecipeError
from swincli.model.discriminators.frozen_features import FrozenFeatureDiscriminator
from swincli.model.discriminators.residual import PatchDiscriminator, ResidualDiscriminator
from swincli.model.discriminators.wavelet import WaveletDiscriminator


def resolution_layers(discriminator: nn.Module) -> list[list[nn.Module]]:
    """D's layers grouped by resolution, from the image's resolution down, without the layers that make the logit.

    In the wavelet discriminator a resolution has the layer that takes in the wavelet coefficients of that size, and the
    block that halves it. In the residual ones it has one block, and at the image's size also `from_rgb`.

    Raises:
        TypeError: the network is not one of swincli's discriminators.
    """
    if isinstance(discriminator, WaveletDiscriminator):
        pairs = itertools.zip_longest(discriminator.from_wavelet, discriminator.trunk)
        return [[layer for layer in pair if layer is not None] for pair in pairs]
    if isinstance(discriminator, ResidualDiscriminator | PatchDiscriminator):
        from_rgb, *blocks = discriminator.trunk
        return [[from_rgb, blocks[0]], *([block] for block in blocks[1:])]
    if isinstance(discriminator, FrozenFeatureDiscriminator):
        return []
    raise TypeError(f"{type(discriminator).__name__} is not one of swincli's discriminators")


def frozen_parameters(discriminator: nn.Module, resolutions: int) -> set[nn.Parameter]:
    """Parameters that are not trained with `train.freeze_d=resolutions`.

    Spectral norm's vectors are buffers, not parameters: they go on converging to those of the fixed weights.

    Args:
        discriminator: D, not wrapped.
        resolutions: Number of resolutions to freeze, from the image's down.

    Raises:
        RecipeError: D has fewer resolutions; the layers that make the logit are always trained.
    """
    layers = resolution_layers(discriminator)
    if resolutions > len(layers):
        raise RecipeError(
            "the recipe",
            [f"train.freeze_d: is {resolutions}, but D has {len(layers)} resolutions before its last layers"],
            f"Set it to at most {len(layers)}.",
        )
    frozen = itertools.chain.from_iterable(layers[:resolutions])
    return {parameter for layer in frozen for parameter in layer.parameters()}


def trained_parameters(discriminator: nn.Module, resolutions: int) -> list[nn.Parameter]:
    """All other parameters of D, in D's order; its optimiser numbers them in this order.

    Raises:
        RecipeError: as for `frozen_parameters`.
    """
    frozen = frozen_parameters(discriminator, resolutions)
    return [parameter for parameter in discriminator.parameters() if parameter not in frozen]

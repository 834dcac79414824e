"""FreezeD (Mo et al., 2020): the layers of D nearest the image keep what they have learned elsewhere."""

from __future__ import annotations

import itertools

from torch import nn

from swincli.errors import RecipeError
from swincli.model.discriminators.residual import PatchDiscriminator, ResidualDiscriminator
from swincli.model.discriminators.wavelet import WaveletDiscriminator


def resolution_layers(discriminator: nn.Module) -> list[list[nn.Module]]:
    """D's layers by the resolution that they work at, from that of the image down, without those that make the logit.

    In the wavelet discriminator a resolution holds what takes in the coefficients of the image at that size, and the
    block that leads on to the next; in the residual ones, a block, and at the image's size also what takes in colours.

    Raises:
        TypeError: it is none of swincli's discriminators.
    """
    if isinstance(discriminator, WaveletDiscriminator):
        pairs = itertools.zip_longest(discriminator.from_wavelet, discriminator.trunk)
        return [[layer for layer in pair if layer is not None] for pair in pairs]
    if isinstance(discriminator, ResidualDiscriminator | PatchDiscriminator):
        from_rgb, *blocks = discriminator.trunk
        return [[from_rgb, blocks[0]], *([block] for block in blocks[1:])]
    raise TypeError(f"{type(discriminator).__name__} is none of swincli's discriminators")


def frozen_parameters(discriminator: nn.Module, resolutions: int) -> set[nn.Parameter]:
    """The parameters that `train.freeze_d` resolutions keep from being trained.

    Spectral norm's vectors are no parameters: they go on converging to those of the fixed weights.

    Args:
        discriminator: D itself, not wrapped in anything.
        resolutions: How many resolutions to freeze, from that of the image down.

    Raises:
        RecipeError: D has fewer; what makes the logit is always trained.
    """
    layers = resolution_layers(discriminator)
    if resolutions > len(layers):
        raise RecipeError(
            "the recipe",
            [f"train.freeze_d: {resolutions} resolutions of D, and it has {len(layers)} before its last layers"],
            f"Give at most {len(layers)}.",
        )
    frozen = itertools.chain.from_iterable(layers[:resolutions])
    return {parameter for layer in frozen for parameter in layer.parameters()}


def trained_parameters(discriminator: nn.Module, resolutions: int) -> list[nn.Parameter]:
    """All other parameters of D, in D's order, which is the order in which its optimiser numbers them.

    Raises:
        RecipeError: as for `frozen_parameters`.
    """
    frozen = frozen_parameters(discriminator, resolutions)
    return [parameter for parameter in discriminator.parameters() if parameter not in frozen]

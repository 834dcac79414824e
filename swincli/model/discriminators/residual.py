"""StyleGAN2's residual discriminator (Karras et al., 2020), with one logit per image or per patch.

StyleSwin compares its wavelet discriminator with both (section 3.3, table 2).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.conditioning import Through, embed, logit_outputs, make_embedding, project
from swincli.model.blocks.kernels import Kernels
from swincli.model.blocks.layers import Conv, Linear, make_weight
from swincli.model.discriminators.epilogue import LAST_RESOLUTION, epilogue_layers, judge
from swincli.model.discriminators.wavelet import TrunkBlock
from swincli.ops import fir
from swincli.ops.checkpointing import use_checkpointing
from swincli.ops.precision import in_float32
from swincli.recipe.schema import ModelSection

PATCH_HALVINGS = 3  # the receptive field of a logit is then 66 px, close to the 70 px of Isola et al., 2017


class ResidualBlock(nn.Module):
    """A trunk block with a skip branch (FIR downsampling, 1x1 convolution); the sum is divided by sqrt(2)."""

    def __init__(self, inputs: int, outputs: int, *, spectral: bool) -> None:
        super().__init__()
        self.body = TrunkBlock(inputs, outputs, spectral=spectral)
        self.skip = make_weight(outputs, inputs, 1, 1, spectral=spectral)

    def forward(self, x: Tensor, *, recompute: bool = False) -> Tensor:
        """`[B, C, H, W] -> [B, C', H/2, W/2]`; `recompute` as in `TrunkBlock`."""
        out: Tensor = (self.body(x, recompute=recompute) + F.conv2d(fir.downsample(x), self.skip())) / math.sqrt(2)
        return out


def _trunk(config: ModelSection, sides: list[int]) -> nn.Sequential:
    """A 1x1 convolution from RGB, then one residual block per halving of the side."""
    spectral, channels = config.spectral_norm, config.channels("d")
    blocks = (
        ResidualBlock(channels[side], channels[half], spectral=spectral) for side, half in itertools.pairwise(sides)
    )
    return nn.Sequential(Conv(3, channels[config.size], 1, spectral=spectral), *blocks)


def _run_trunk(trunk: nn.Sequential, image: Tensor, recompute_from: int | None) -> Tensor:
    """`[B, 3, size, size] -> [B, C, h, w]`; maps of side `recompute_from` and above are checkpointed."""
    from_rgb, *blocks = trunk
    x: Tensor = from_rgb(image)
    for block in blocks:
        x = block(x, recompute=use_checkpointing(x, recompute_from))
    return x


class ResidualDiscriminator(nn.Module):
    """StyleGAN2's discriminator: image `[B, 3, size, size]` -> logit `[B, 1]`, high for reals.

    Args:
        config: The recipe's [model] section.
    """

    def __init__(self, config: ModelSection) -> None:
        super().__init__()
        self.std_group = config.std_group
        self.recompute_from: int | None = None
        self.trunk = _trunk(config, config.resolutions[::-1])
        width = config.channels("d")[LAST_RESOLUTION]
        layers = epilogue_layers(width, spectral=config.spectral_norm, outputs=logit_outputs(config, width))
        self.final_conv, self.hidden, self.hidden_bias, self.logit = layers
        self.embedding = make_embedding(config, width, "d")
        self.kernels = Kernels(self)

    def features(self, image: Tensor) -> Tensor:
        """The map before the minibatch standard deviation, `[B, 3, size, size] -> [B, C, 4, 4]`; images stay apart."""
        return _run_trunk(self.trunk, image, self.recompute_from)

    def forward(self, image: Tensor, labels: Tensor | None = None, through: Through | None = None) -> Any:
        """`[B, 3, size, size]` in the network's pixel range, labels if conditional -> logits `[B, 1]`.

        With `through`, the result is that of `through(self, image, labels)`; see `Through`.
        """
        with self.kernels.prepared():
            return (through or judge)(self, image, labels)


class PatchDiscriminator(nn.Module):
    """PatchGAN: image `[B, 3, size, size]` -> one logit per patch, `[B, 1, h, w]`, high for reals.

    The trunk ends after three halvings, or at 4x4. There is no minibatch standard deviation, because it would show
    every patch the rest of the image and of the batch.

    Args:
        config: The recipe's [model] section.
    """

    def __init__(self, config: ModelSection) -> None:
        super().__init__()
        sides = config.resolutions[::-1][: PATCH_HALVINGS + 1]
        width = config.channels("d")[sides[-1]]
        self.recompute_from: int | None = None
        self.trunk = _trunk(config, sides)
        self.final_conv = Conv(width, width, 3, spectral=config.spectral_norm)
        self.logit = Linear(width, logit_outputs(config, width), spectral=config.spectral_norm)
        self.embedding = make_embedding(config, width, "d")
        self.kernels = Kernels(self)

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        """`[B, 3, size, size]` in the network's pixel range, labels if conditional -> `[B, 1, h, w]`."""
        with self.kernels.prepared():
            features = self._head(_run_trunk(self.trunk, image, self.recompute_from))
            return project(features, embed(self.embedding, labels))

    @in_float32
    def _head(self, x: Tensor) -> Tensor:
        out: Tensor = self.logit(self.final_conv(x).permute(0, 2, 3, 1))
        return out.permute(0, 3, 1, 2)

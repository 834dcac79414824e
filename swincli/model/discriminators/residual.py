"""StyleGAN2's residual discriminator, judging whole images or patches: what the wavelet discriminator is compared with.

StyleSwin, section 3.3 and its table 2; the blocks are those of Karras et al., 2020.
"""

from __future__ import annotations

import itertools
import math

import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.conditioning import embed, make_embedding, project
from swincli.model.blocks.layers import Conv, Linear, make_weight
from swincli.model.discriminators.head import LAST_RESOLUTION, one_logit, one_logit_layers
from swincli.model.discriminators.wavelet import TrunkBlock
from swincli.ops import fir
from swincli.ops.checkpointing import is_due
from swincli.ops.precision import in_float32
from swincli.recipe.schema import ModelSection

PATCH_HALVINGS = 3  # what a logit sees is then 66 px wide, close to the 70 px of Isola et al., 2017


class ResidualBlock(nn.Module):
    """A trunk block beside a downsampling and a 1x1 convolution; their sum is divided by sqrt(2)."""

    def __init__(self, inputs: int, outputs: int, *, spectral: bool) -> None:
        super().__init__()
        self.body = TrunkBlock(inputs, outputs, spectral=spectral)
        self.skip = make_weight(outputs, inputs, 1, 1, spectral=spectral)

    def forward(self, x: Tensor, *, recompute: bool = False) -> Tensor:
        """`[B, C, H, W] -> [B, C', H/2, W/2]`; `recompute` as in `TrunkBlock`."""
        out: Tensor = (self.body(x, recompute=recompute) + F.conv2d(fir.downsample(x), self.skip())) / math.sqrt(2)
        return out


def _trunk(config: ModelSection, sides: list[int]) -> nn.Sequential:
    """From RGB, then a block from each side to the next."""
    spectral, channels = config.spectral_norm, config.channels("d")
    blocks = (
        ResidualBlock(channels[side], channels[half], spectral=spectral) for side, half in itertools.pairwise(sides)
    )
    return nn.Sequential(Conv(3, channels[config.size], 1, spectral=spectral), *blocks)


def _through(trunk: nn.Sequential, image: Tensor, recompute_from: int | None) -> Tensor:
    """`[B, 3, size, size]` through `_trunk`."""
    from_rgb, *blocks = trunk
    x: Tensor = from_rgb(image)
    for block in blocks:
        x = block(x, recompute=is_due(x, recompute_from))
    return x


class PlainDiscriminator(nn.Module):
    """Image `[B, 3, size, size]` -> logit `[B, 1]`, high for reals.

    Args:
        config: The recipe's [model] section.
    """

    def __init__(self, config: ModelSection) -> None:
        super().__init__()
        self.std_group = config.std_group
        self.recompute_from: int | None = None
        self.trunk = _trunk(config, config.resolutions[::-1])
        width = config.channels("d")[LAST_RESOLUTION]
        layers = one_logit_layers(width, spectral=config.spectral_norm, outputs=width if config.classes else 1)
        self.final_conv, self.hidden, self.hidden_bias, self.logit = layers
        self.embedding = make_embedding(config.classes, width)

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        """`[B, 3, size, size]` in the network's pixel range, int64 labels `[B]` if conditional -> logits `[B, 1]`."""
        trunk = _through(self.trunk, image, self.recompute_from)
        features = one_logit(trunk, self.std_group, self.final_conv, self.hidden, self.hidden_bias, self.logit)
        return project(features, embed(self.embedding, labels))


class PatchDiscriminator(nn.Module):
    """Image `[B, 3, size, size]` -> a logit for every patch, `[B, 1, h, w]`, high for reals.

    The trunk ends after three halvings, or at 4x4. There is no minibatch deviation: it would show every patch the rest
    of the image and of the batch.

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
        self.logit = Linear(width, width if config.classes else 1, spectral=config.spectral_norm)
        self.embedding = make_embedding(config.classes, width)

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        """`[B, 3, size, size]` in the network's pixel range, int64 labels `[B]` if conditional -> `[B, 1, h, w]`."""
        features = self._judge(_through(self.trunk, image, self.recompute_from))
        return project(features, embed(self.embedding, labels))

    @in_float32
    def _judge(self, x: Tensor) -> Tensor:
        out: Tensor = self.logit(self.final_conv(x).permute(0, 2, 3, 1))
        return out.permute(0, 3, 1, 2)

"""A discriminator that looks at images through a pretrained network: Projected GAN (Sauer et al., NeurIPS 2021).

The backbone is frozen and not part of the state dict. Its maps at four scales go through random 1x1 convolutions that
mix channels and scales and are never trained. One small head a scale judges the result, with a logit per patch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.conditioning import Through, embed, logit_outputs, make_embedding, project
from swincli.model.blocks.layers import SLOPE, SpectralWeight
from swincli.model.discriminators.epilogue import deviation_group
from swincli.model.pixels import to_signed
from swincli.model.pretrained import efficientnet
from swincli.model.pretrained.packaged import PackagedWeights
from swincli.ops.precision import in_float32
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection

NORM_GROUP = 8
"""Images over which batch norm in the heads takes its statistics, or the largest divisor of the batch below it."""
_MIXED = (64, 128, 256, 512)  # channels of the four scales after channel mixing, the largest map first
_OUT = (64, 64, 128, 256)  # after scale mixing
_WIDTHS = (64, 128, 256, 512)  # channels of a head's last blocks
_SIDE = 256  # of the input for which these are all blocks; at 512 and 1024 px there are more, of the first width
_LABEL_WIDTH = 64
_HEAD_END = 4  # side of the last convolution's kernel
_SEED = 20211110


@dataclass(frozen=True)
class Backbone:
    """A pretrained network whose maps are looked at.

    Attributes:
        weights: Its weights.
        build: Loads it on a device.
        maps: Its maps at strides 4, 8, 16 and 32 of images `[B, 3, S, S]` in [-1, 1].
        channels: Channels of the maps.
        side: Smallest side of its input; smaller images are enlarged.
        learned_from: The pictures that it learned from: metrics by networks of the same ones favour a model.
    """

    weights: PackagedWeights
    build: Callable[[torch.device], nn.Module]
    maps: Callable[[Any, Tensor], list[Tensor]]
    channels: tuple[int, int, int, int]
    side: int
    learned_from: str


@functools.lru_cache(maxsize=4)
def _lite0(device: torch.device) -> efficientnet.EfficientNetLite0:
    with torch.inference_mode(False):  # whoever asks first: others take gradients through it
        return efficientnet.folded(efficientnet.load_efficientnet(efficientnet.WEIGHTS.require(), device))


def _lite0_maps(network: efficientnet.EfficientNetLite0, images: Tensor) -> list[Tensor]:
    if images.device.type == "cpu":  # the convolutions are then a third faster
        images = images.contiguous(memory_format=torch.channels_last)
    return network.maps((images + 1) * 127.5)


BACKBONES: dict[str, Backbone] = {
    "efficientnet": Backbone(
        efficientnet.WEIGHTS, _lite0, _lite0_maps, (24, 40, 112, 320), efficientnet.SIDE, "ImageNet"
    ),
}


def looked_through(recipe: Recipe) -> PackagedWeights | None:
    """Weights of the pretrained network that D looks through in a recipe; None without one."""
    if recipe.model.discriminator != "features" and not recipe.loss.features:
        return None
    return BACKBONES[recipe.model.features].weights


class FrozenMixing(nn.Module):
    """Random 1x1 convolutions over channels and over scales, which are never trained (CCM and CSM).

    Args:
        channels: Channels of the four maps, the largest map first.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(_SEED)
        for index in range(4):
            self._register("channel", index, channels[index], _MIXED[index], random)
            self._register("scale", index, _MIXED[index], _OUT[index], random)

    def _register(self, kind: str, index: int, inputs: int, outputs: int, random: torch.Generator) -> None:
        """Weights of a convolution as buffers, with the initial values of PyTorch's layer."""
        bound = 1 / math.sqrt(inputs)
        for name, shape in (("weight", (outputs, inputs, 1, 1)), ("bias", (outputs,))):
            self.register_buffer(f"{kind}{index}_{name}", torch.empty(shape).uniform_(-bound, bound, generator=random))

    def _convolve(self, kind: str, index: int, x: Tensor) -> Tensor:
        return F.conv2d(x, self.get_buffer(f"{kind}{index}_weight"), self.get_buffer(f"{kind}{index}_bias"))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Four maps, the largest first -> four maps of twice their sides and 64, 64, 128 and 256 channels."""
        mixed = [self._convolve("channel", index, x) for index, x in enumerate(maps)]
        results: list[Tensor] = []
        for index in reversed(range(4)):
            x = mixed[index] + results[-1] if results else mixed[index]
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            results.append(self._convolve("scale", index, x))
        return results[::-1]


class GroupNormOverImages(nn.Module):
    """Batch norm over groups of at most `NORM_GROUP` images, so that splitting a batch by groups changes nothing.

    The images of a group are B / g positions apart, as in the minibatch standard deviation. There are no running
    statistics: heads only judge batches.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W] -> [B, C, H, W]`."""
        batch, channels, height, width = x.shape
        group = deviation_group(batch, NORM_GROUP)
        grouped = x.reshape(group, batch // group * channels, height, width)
        repeats = batch // group
        out = F.batch_norm(
            grouped, None, None, self.weight.repeat(repeats), self.bias.repeat(repeats), training=True, eps=1e-5
        )
        return out.view(x.shape)


class SeparableBlock(nn.Module):
    """3x3 depthwise and 1x1 convolution with spectral norm, batch norm, leaky ReLU, 2x2 average."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise, self.pointwise = SpectralWeight(inputs, 1, 3, 3), SpectralWeight(outputs, inputs, 1, 1)
        self.norm = GroupNormOverImages(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W] -> [B, C', H/2, W/2]`."""
        x = F.conv2d(F.conv2d(x, self.depthwise(), padding=1, groups=x.shape[1]), self.pointwise())
        return F.avg_pool2d(F.leaky_relu(self.norm(x), SLOPE), 2)


class FullBlock(nn.Module):
    """4x4 convolution with stride 2 and spectral norm, batch norm, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kernel, self.bias = SpectralWeight(outputs, inputs, 4, 4), nn.Parameter(torch.zeros(outputs))
        self.norm = GroupNormOverImages(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W] -> [B, C', H/2, W/2]`."""
        return F.leaky_relu(self.norm(F.conv2d(x, self.kernel(), self.bias, stride=2, padding=1)), SLOPE)


HEADS: dict[str, Callable[[int, int], nn.Module]] = {"separable": SeparableBlock, "full": FullBlock}
"""Blocks of the heads, from channels in and out."""


class Head(nn.Module):
    """Blocks that halve a map, and a 4x4 convolution to one channel.

    The blocks go down to 1/32 of the backbone's input, or to 4 px if that is larger, and of inputs from 512 px on to 8
    to 15 px. With labels, the convolution gives 64 channels, which are projected onto the label's vector.

    Args:
        scale: Index of the map; the largest has index 0.
        side: Side of the backbone's input, at least 64.
        config: The recipe's [model] section.
    """

    def __init__(self, scale: int, side: int, config: ModelSection) -> None:
        super().__init__()
        halvings = (side >> (scale + 1)).bit_length() - _HEAD_END.bit_length()
        further = max(0, (side // _SIDE).bit_length() - 1)
        widths = [_OUT[scale], *(further * _WIDTHS[:1] + _WIDTHS)[scale:]][: halvings + 1]
        self.blocks = nn.Sequential(*map(HEADS[config.feature_heads], widths[:-1], widths[1:]))
        self.logit = SpectralWeight(logit_outputs(config, _LABEL_WIDTH), widths[-1], _HEAD_END, _HEAD_END)
        self.embedding = make_embedding(config, _LABEL_WIDTH, "d")

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """`[B, C, H, W]`, labels if conditional -> logits `[B, n]`; with K rows of labels an image, `[B, K, n]`."""
        vectors = embed(self.embedding, labels)
        start = 2 if vectors is not None and vectors.ndim == 3 else 1
        return project(F.conv2d(self.blocks(x), self.logit()), vectors).flatten(start)


class FrozenFeatureDiscriminator(nn.Module):
    """Images `[B, 3, size, size]` -> logits `[B, n]`, one per patch and scale, high for reals.

    Args:
        config: The recipe's [model] section.

    Attributes:
        recompute_from: Unused; other discriminators have it.
    """

    def __init__(self, config: ModelSection) -> None:
        super().__init__()
        BACKBONES[config.features].weights.require()
        self.backbone = config.features
        self.side = config.features_side or BACKBONES[config.features].side
        self.range = config.pixel_mean, config.pixel_std
        self.recompute_from: int | None = None
        self.mixing = FrozenMixing(BACKBONES[config.features].channels)
        side = max(self.side, config.size)
        self.heads = nn.ModuleList(Head(scale, side, config) for scale in range(4))

    @in_float32
    def forward(self, image: Tensor, labels: Tensor | None = None, through: Through | None = None) -> Any:
        """`[B, 3, size, size]` in the network's pixel range, labels if conditional -> logits `[B, n]`.

        It is in float32 under autocast.

        With `through`, the result is that of `through(self, image, labels)`; see `Through`.
        """
        if through is not None:
            return through(self, image, labels)
        mixed = self.mixing(self.maps(image))
        return torch.cat([head(x, labels) for head, x in zip(self.heads, mixed, strict=True)], dim=-1)

    def maps(self, image: Tensor) -> list[Tensor]:
        """The backbone's maps of images in the network's pixel range; the weights have no gradient."""
        image = to_signed(image, *self.range)
        if image.shape[-1] < self.side:
            image = F.interpolate(image, size=(self.side, self.side), mode="bilinear", align_corners=False)
        backbone = BACKBONES[self.backbone]
        return backbone.maps(backbone.build(image.device), image)

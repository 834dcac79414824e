"""The discriminator epilogue (StyleGAN's word): minibatch standard deviation, a convolution and two linear layers."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from swincli.model.blocks.conditioning import Embedding, embed, project
from swincli.model.blocks.layers import Conv, Linear, scaled_leaky_relu
from swincli.ops.precision import in_float32

LAST_RESOLUTION = 4  # side of the map that the epilogue takes

EpilogueLayers = tuple[Conv, Linear, nn.Parameter | None, Linear]


def deviation_group(batch: int, largest: int) -> int:
    """Group size of the minibatch standard deviation: the largest divisor of `batch` that is at most `largest`."""
    return next(size for size in range(min(largest, batch), 0, -1) if batch % size == 0)


def append_minibatch_std(x: Tensor, largest: int) -> Tensor:
    """Append the minibatch standard deviation (Karras et al., 2018): `[B, C, H, W] -> [B, C + 1, H, W]`.

    It is taken over groups of g = `deviation_group(B, largest)` images that are B / g apart, and averaged over channels
    and positions.
    """
    batch, channels, height, width = x.shape
    group = deviation_group(batch, largest)
    grouped = x.view(group, batch // group, channels, height, width)
    deviation = (grouped.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    feature = deviation.repeat(group).view(batch, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, feature], dim=1)


def epilogue_layers(channels: int, *, spectral: bool, outputs: int = 1) -> EpilogueLayers:
    """The convolution, the hidden layer, its second bias (None with equalised layers) and the layer of the logit.

    They are attributes of the discriminator and not a module of their own, because state dicts name them so.

    Args:
        channels: Channels of the map.
        spectral: Use spectral norm instead of equalised learning rate.
        outputs: Outputs of the last layer; more than one if they are projected onto a label vector.
    """
    final_conv = Conv(channels + 1, channels, 3, spectral=spectral)
    hidden = Linear(channels * LAST_RESOLUTION**2, channels, spectral=spectral)
    # with spectral norm, the release's activation has a second bias
    hidden_bias = nn.Parameter(torch.zeros(channels)) if spectral else None
    return final_conv, hidden, hidden_bias, Linear(channels, outputs, spectral=spectral)


class ImageDiscriminator(Protocol):
    """A discriminator with one logit per image: a trunk, and the layers of `epilogue_layers`."""

    std_group: int
    final_conv: Conv
    hidden: Linear
    hidden_bias: nn.Parameter | None
    logit: Linear
    embedding: Embedding | None

    def features(self, image: Tensor) -> Tensor:
        """`[B, 3, size, size] -> [B, C, 4, 4]`."""
        ...


def judge(network: ImageDiscriminator, image: Tensor, labels: Tensor | None) -> Tensor:
    """Logits `[B, 1]` of images `[B, 3, size, size]`: what a discriminator's forward returns."""
    return logits_of(network, hidden_of(network, network.features(image)), labels)


@in_float32
def hidden_of(network: ImageDiscriminator, features: Tensor) -> Tensor:
    """The activated hidden vector before the logit, `[B, C, 4, 4] -> [B, C]`, in float32 under autocast.

    Before it, the minibatch standard deviation is appended: it is the first layer that compares images.
    """
    x = network.hidden(network.final_conv(append_minibatch_std(features, network.std_group)).flatten(1))
    return scaled_leaky_relu(x if network.hidden_bias is None else x + network.hidden_bias)


@in_float32
def logits_of(network: ImageDiscriminator, hidden: Tensor, labels: Tensor | None) -> Tensor:
    """Logits `[B, 1]` of hidden vectors `[B, C]`, with labels if conditional; in float32 under autocast."""
    return project(network.logit(hidden), embed(network.embedding, labels))

"""How a discriminator ends that judges whole images: minibatch deviation, a convolution and two linear layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from swincli.model.blocks.layers import Conv, Linear, scaled_leaky_relu
from swincli.ops.precision import in_float32

LAST_RESOLUTION = 4

Layers = tuple[Conv, Linear, nn.Parameter | None, Linear]


def deviation_group(batch: int, largest: int) -> int:
    """Images of one group of the minibatch deviation: the largest divisor of the batch up to `largest`."""
    return next(size for size in range(min(largest, batch), 0, -1) if batch % size == 0)


def append_minibatch_std(x: Tensor, largest: int) -> Tensor:
    """Append the standard deviation over groups of images as one more channel: `[B, C, H, W] -> [B, C + 1, H, W]`.

    A group holds `largest` images, or as many as the batch divides into where it does not divide by that; of g images,
    they are B / g apart (Karras et al., 2018). The deviation is averaged over channels and positions.
    """
    batch, channels, height, width = x.shape
    group = deviation_group(batch, largest)
    grouped = x.view(group, batch // group, channels, height, width)
    deviation = (grouped.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    feature = deviation.repeat(group).view(batch, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, feature], dim=1)


def one_logit_layers(channels: int, *, spectral: bool, outputs: int = 1) -> Layers:
    """The convolution, the hidden layer, its second bias (None where layers are equalised) and the logit's layer.

    The last has more than one output where they are to be projected on the vector of a class.

    They are a discriminator's own attributes and no module, so that its weights keep their names.
    """
    final_conv = Conv(channels + 1, channels, 3, spectral=spectral)
    hidden = Linear(channels * LAST_RESOLUTION**2, channels, spectral=spectral)
    # the release's activation brings a bias of its own beside the layer's, unless layers are equalised
    hidden_bias = nn.Parameter(torch.zeros(channels)) if spectral else None
    return final_conv, hidden, hidden_bias, Linear(channels, outputs, spectral=spectral)


@in_float32
def one_logit(
    x: Tensor, group: int, final_conv: Conv, hidden: Linear, hidden_bias: nn.Parameter | None, logit: Linear
) -> Tensor:
    """`[B, C, 4, 4] -> [B, outputs]` through the layers of `one_logit_layers`, in float32 under autocast.

    `group` is the largest group of the minibatch deviation.
    """
    x = hidden(final_conv(append_minibatch_std(x, group)).flatten(1))
    if hidden_bias is not None:
        x = x + hidden_bias
    logits: Tensor = logit(scaled_leaky_relu(x))
    return logits

"""StyleSwin's discriminator: a convolutional trunk that meets the image's wavelet coefficients at every scale.

Zhang et al., CVPR 2022, section 3.4, after SWAGAN (Gal et al., 2021).
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from swincli.errors import UsageError
from swincli.model.layers import Conv, Linear, scaled_leaky_relu
from swincli.ops import fir
from swincli.ops.wavelet import BANDS, dwt, wavelet_filters
from swincli.recipe.schema import ModelSection

STD_GROUP = 4
LAST_RESOLUTION = 4


class TrunkBlock(nn.Module):
    """A 3x3 convolution, a blur, and a 3x3 convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int, *, spectral: bool) -> None:
        super().__init__()
        self.conv1 = Conv(inputs, inputs, 3, spectral=spectral)
        self.conv2 = Conv(inputs, outputs, 3, stride=2, spectral=spectral)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W] -> [B, C', H/2, W/2]`."""
        out: Tensor = self.conv2(fir.blur(self.conv1(x), padding=2))
        return out


def append_minibatch_std(x: Tensor) -> Tensor:
    """Append the standard deviation over groups of images as one more channel: `[B, C, H, W] -> [B, C + 1, H, W]`.

    A group holds 4 images, or as many as the batch divides into where it does not divide by 4; its members are B / 4
    apart (Karras et al., 2018). The deviation is averaged over channels and positions.
    """
    batch, channels, height, width = x.shape
    group = next(size for size in range(min(STD_GROUP, batch), 0, -1) if batch % size == 0)
    grouped = x.view(group, batch // group, channels, height, width)
    deviation = (grouped.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    feature = deviation.repeat(group).view(batch, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, feature], dim=1)


class Discriminator(nn.Module):
    """Image `[B, 3, size, size]` -> logit `[B, 1]`, high for reals.

    Args:
        config: The recipe's [model] section.

    Raises:
        UsageError: the wavelet is unknown, or longer than the smallest image it is applied to.
    """

    def __init__(self, config: ModelSection) -> None:
        super().__init__()
        self.wavelet = config.wavelet
        taps = wavelet_filters(config.wavelet).shape[-1]
        if taps > 4 * LAST_RESOLUTION:
            raise UsageError(
                f"model.wavelet: {config.wavelet} has {taps} taps, too many for 8 px images",
                f"Choose a wavelet of at most {4 * LAST_RESOLUTION} taps.",
            )
        spectral, channels = config.spectral_norm, config.channels("d")
        sides = config.resolutions[:-1][::-1]  # size/2, ..., 4: where wavelet coefficients join the trunk
        widths = [channels[config.size]] + [channels[side] for side in sides[1:]]
        coefficients = 3 * len(BANDS)
        self.from_wavelet = nn.ModuleList(Conv(coefficients, width, 1, spectral=spectral) for width in widths)
        self.trunk = nn.ModuleList(
            TrunkBlock(inputs, outputs, spectral=spectral) for inputs, outputs in itertools.pairwise(widths)
        )
        last = channels[LAST_RESOLUTION]
        self.final_conv = Conv(widths[-1] + 1, last, 3, spectral=spectral)
        self.hidden = Linear(last * LAST_RESOLUTION**2, last, spectral=spectral)
        # the release's activation brings a bias of its own beside the layer's, unless layers are equalised
        self.hidden_bias = nn.Parameter(torch.zeros(last)) if spectral else None
        self.logit = Linear(last, 1, spectral=spectral)

    def forward(self, image: Tensor) -> Tensor:
        """`[B, 3, size, size]` in the network's pixel range -> logits `[B, 1]`."""
        filters = wavelet_filters(self.wavelet, device=image.device, dtype=image.dtype)
        x = self.from_wavelet[0](dwt(image, filters))
        for block, from_wavelet in zip(self.trunk, self.from_wavelet[1:], strict=True):
            # the release transforms back, downsamples and transforms again: the image pyramid is the same thing
            image = fir.downsample(image)
            x = block(x) + from_wavelet(dwt(image, filters))
        x = self.final_conv(append_minibatch_std(x))
        x = self.hidden(x.flatten(1))
        if self.hidden_bias is not None:
            x = x + self.hidden_bias
        logits: Tensor = self.logit(scaled_leaky_relu(x))
        return logits

"""StyleSwin's discriminator: a convolutional trunk that meets the image's wavelet coefficients at every scale.

Zhang et al., CVPR 2022, section 3.3, "Wavelet discriminator", after SWAGAN (Gal et al., 2021).
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from swincli.errors import UsageError
from swincli.model.conditioning import embed, make_embedding, project
from swincli.model.layers import Conv
from swincli.model.one_logit import LAST_RESOLUTION, one_logit, one_logit_layers
from swincli.ops import fir
from swincli.ops.wavelet import BANDS, dwt, wavelet_filters
from swincli.recipe.schema import ModelSection


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
        layers = one_logit_layers(widths[-1], spectral=spectral, outputs=widths[-1] if config.classes else 1)
        self.final_conv, self.hidden, self.hidden_bias, self.logit = layers
        self.embedding = make_embedding(config.classes, widths[-1])

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        """`[B, 3, size, size]` in the network's pixel range, int64 labels `[B]` if conditional -> logits `[B, 1]`."""
        filters = wavelet_filters(self.wavelet, device=image.device, dtype=image.dtype)
        x = self.from_wavelet[0](dwt(image, filters))
        for block, from_wavelet in zip(self.trunk, self.from_wavelet[1:], strict=True):
            # the release transforms back, downsamples and transforms again: the image pyramid is the same thing
            image = fir.downsample(image)
            x = block(x) + from_wavelet(dwt(image, filters))
        features = one_logit(x, self.final_conv, self.hidden, self.hidden_bias, self.logit)
        return project(features, embed(self.embedding, labels))

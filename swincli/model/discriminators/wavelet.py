"""StyleSwin's wavelet discriminator: a convolutional trunk that gets the image's wavelet coefficients at every scale.

Zhang et al., CVPR 2022, section 3.3, "Wavelet discriminator"; it follows SWAGAN (Gal et al., 2021).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor, nn

from swincli.errors import UsageError
from swincli.model.blocks.conditioning import Through, logit_outputs, make_embedding
from swincli.model.blocks.kernels import Kernels
from swincli.model.blocks.layers import Conv
from swincli.model.discriminators.epilogue import LAST_RESOLUTION, epilogue_layers, judge
from swincli.ops import fir
from swincli.ops.checkpointing import checkpointed, use_checkpointing
from swincli.ops.wavelet import BANDS, dwt_by_weight, dwt_weight, filter_banks
from swincli.recipe.schema import ModelSection


class TrunkBlock(nn.Module):
    """A 3x3 convolution, a FIR blur, and a 3x3 convolution with stride 2."""

    def __init__(self, inputs: int, outputs: int, *, spectral: bool) -> None:
        super().__init__()
        self.conv1 = Conv(inputs, inputs, 3, spectral=spectral)
        self.conv2 = Conv(inputs, outputs, 3, stride=2, spectral=spectral)

    def forward(self, x: Tensor, *, recompute: bool = False) -> Tensor:
        """`[B, C, H, W] -> [B, C', H/2, W/2]`; with `recompute` the block is checkpointed.

        The weights are computed outside the checkpoint, because spectral norm moves its vectors in every forward.
        """
        used = (*self.conv1.used(), *self.conv2.used())
        return checkpointed(self.halve, x, *used) if recompute else self.halve(x, *used)

    def halve(self, x: Tensor, weight1: Tensor, bias1: Tensor | None, weight2: Tensor, bias2: Tensor | None) -> Tensor:
        """The block with what its convolutions use: a pure function, so it can be compiled."""
        out: Tensor = self.conv2(fir.blur(self.conv1(x, weight1, bias1), padding=2), weight2, bias2)
        return out


class WaveletDiscriminator(nn.Module):
    """Image `[B, 3, size, size]` -> logit `[B, 1]`, high for reals.

    Args:
        config: The recipe's [model] section.

    Attributes:
        recompute_from: Smallest side of the maps whose activations are recomputed in the backward pass; None for none.

    Raises:
        UsageError: the wavelet is unknown, or has too many taps for the smallest image of the pyramid.
    """

    def __init__(self, config: ModelSection) -> None:
        super().__init__()
        self.banks, self.std_group = filter_banks(config.wavelet), config.std_group
        self.recompute_from: int | None = None
        taps = len(self.banks[0])
        if taps > 4 * LAST_RESOLUTION:
            raise UsageError(
                f"model.wavelet: {config.wavelet} has {taps} taps, too many for 8 px images",
                f"Use a wavelet with at most {4 * LAST_RESOLUTION} taps.",
            )
        spectral, channels = config.spectral_norm, config.channels("d")
        sides = config.resolutions[:-1][::-1]  # size/2, ..., 4: wavelet coefficients join the trunk here
        widths = [channels[config.size]] + [channels[side] for side in sides[1:]]
        coefficients = 3 * len(BANDS)
        self.from_wavelet = nn.ModuleList(Conv(coefficients, width, 1, spectral=spectral) for width in widths)
        self.trunk = nn.ModuleList(
            TrunkBlock(inputs, outputs, spectral=spectral) for inputs, outputs in itertools.pairwise(widths)
        )
        layers = epilogue_layers(widths[-1], spectral=spectral, outputs=logit_outputs(config, widths[-1]))
        self.final_conv, self.hidden, self.hidden_bias, self.logit = layers
        self.embedding = make_embedding(config, widths[-1], "d")
        self.kernels = Kernels(self)

    def features(self, image: Tensor) -> Tensor:
        """The map before the minibatch standard deviation, `[B, 3, size, size] -> [B, C, 4, 4]`; images stay apart."""
        transform = dwt_weight(self.banks, image.shape[1], device=image.device, dtype=image.dtype)
        first, *others = cast("Iterable[Conv]", self.from_wavelet)
        x = self.coefficients(first, image, transform, *first.used())
        for block, from_wavelet in zip(self.trunk, others, strict=True):
            # the release inverts the transform, downsamples and transforms again; an image pyramid gives the same
            image = fir.downsample(image)
            x = block(x, recompute=use_checkpointing(x, self.recompute_from))
            x = x + self.coefficients(from_wavelet, image, transform, *from_wavelet.used())
        return x

    def coefficients(self, conv: Conv, image: Tensor, transform: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Features of an image's wavelet coefficients, `[B, 3, H, W] -> [B, C, H/2, W/2]`; pure, so it can be compiled.

        Args:
            conv: The layer of this scale.
            image: The image at this scale.
            transform: The wavelet transform's weight.
            weight, bias: What `conv.used()` has returned.
        """
        out: Tensor = conv(dwt_by_weight(image, transform), weight, bias)
        return out

    def forward(self, image: Tensor, labels: Tensor | None = None, through: Through | None = None) -> Any:
        """`[B, 3, size, size]` in the network's pixel range, labels if conditional -> logits `[B, 1]`.

        With `through`, the result is that of `through(self, image, labels)`; see `Through`.
        """
        with self.kernels.prepared():
            return (through or judge)(self, image, labels)

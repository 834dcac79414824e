"""Reconstruction loss of a projection: pixels, wavelet bands, and the features of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from swincli.ops.wavelet import dwt, filter_banks, wavelet_filters

BANKS = filter_banks("haar")
MIN_BAND_SIDE = 4  # of the coarsest bands, in coefficients


class FeatureNetwork(Protocol):
    """A network whose features give a perceptual distance of images."""

    @property
    def name(self) -> str:
        """Name in settings and tables."""
        ...

    def features(self, images: Tensor) -> list[Tensor]:
        """Images `[B, 3, H, W]` in -1 to 1 -> tensors `[B, ...]`; differentiable, and independent of the batch."""
        ...

    def distance(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """Distance of images from their features, `[B]`, at least 0; one side may hold a single image."""
        ...


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts of the loss. With weights of 1, the parts of a finished projection have similar size.

    Attributes:
        network: Of the network's distance.
        pixels: Of the mean squared difference of pixels in -1 to 1.
        wavelet: Of the mean absolute difference of Haar coefficients, averaged over levels.
    """

    network: float = 1.0
    pixels: float = 1.0
    wavelet: float = 1.0


@dataclass(frozen=True)
class ImageFeatures:
    """What the loss compares, for B images: pixels `[B, 3, H, W]`, wavelet bands by level, features of a network."""

    pixels: Tensor
    bands: list[Tensor]
    network: list[Tensor]

    def __getitem__(self, part: slice) -> ImageFeatures:
        """Some of the images."""
        bands, network = ([value[part] for value in values] for values in (self.bands, self.network))
        return ImageFeatures(self.pixels[part], bands, network)


@dataclass(frozen=True)
class Objective:
    """The loss that a projection minimises.

    Attributes:
        network: The network; None compares only pixels and wavelet bands.
        pixel_mean: Of the model's images, per channel: `x * std + mean` is in 0 to 1.
        pixel_std: The same.
        weights: Weights of the parts.
    """

    network: FeatureNetwork | None
    pixel_mean: Sequence[float]
    pixel_std: Sequence[float]
    weights: LossWeights = LossWeights()

    def features(self, images: Tensor) -> ImageFeatures:
        """What the loss compares, from images `[B, 3, H, W]` in the generator's pixel range."""
        scale = images.new_tensor(self.pixel_std)[:, None, None] * 2
        shift = images.new_tensor(self.pixel_mean)[:, None, None] * 2 - 1
        pixels = images * scale + shift
        network = [] if self.network is None else self.network.features(pixels)
        return ImageFeatures(pixels, wavelet_bands(pixels), network)

    def distance(self, one: ImageFeatures, other: ImageFeatures) -> Tensor:
        """The loss of images, `[B]`, at least 0; one side may hold a single image."""
        weights = self.weights
        out = weights.pixels * (one.pixels - other.pixels).square().mean(dim=(1, 2, 3))
        by_level = [(a - b).abs().mean(dim=(1, 2, 3)) for a, b in zip(one.bands, other.bands, strict=True)]
        out = out + weights.wavelet * sum(by_level[1:], start=by_level[0]) / len(by_level)
        if self.network is not None:
            out = out + weights.network * self.network.distance(one.network, other.network)
        return out


def wavelet_bands(images: Tensor) -> list[Tensor]:
    """Haar coefficients of images `[B, 3, H, W]`: three high bands per level, `[B, 9, h, w]`, then the last low band.

    The low band is scaled to the mean of 2 x 2 pixels. A pixel loss alone accepts blur, as fine detail has a small
    amplitude. With one term per level, detail counts as much as shading.
    """
    filters = wavelet_filters(BANKS, device=images.device, dtype=images.dtype)
    bands = []
    while min(images.shape[2:]) >= 2 * MIN_BAND_SIDE:
        low, high = (dwt(images, filters) / 2).tensor_split([3], dim=1)
        bands.append(high)
        images = low
    return [*bands, images]

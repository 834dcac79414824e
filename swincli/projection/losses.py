"""How far an image is from the one that is sought: pixels, wavelet bands, and the features of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from swincli.ops.wavelet import dwt, filter_banks, wavelet_filters

BANKS = filter_banks("haar")
SMALLEST_BANDS = 4  # side of the coarsest bands, in coefficients


class Perception(Protocol):
    """A network that tells how different images look."""

    @property
    def name(self) -> str:
        """What settings and tables call it."""
        ...

    def features(self, images: Tensor) -> list[Tensor]:
        """Images `[B, 3, H, W]` of -1 to 1 -> tensors `[B, ...]`, differentiable; each image is seen on its own."""
        ...

    def between(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """The distance of images from their features, `[B]`, at least 0; one of the two may hold a single image."""
        ...


@dataclass(frozen=True)
class Weights:
    """What the parts of the distance count for. With these, a finished projection has parts of similar size.

    Attributes:
        perception: The network's distance.
        pixels: Mean squared difference of pixels, for -1 to 1.
        wavelet: Mean absolute difference of Haar coefficients, the mean over levels.
    """

    perception: float = 1.0
    pixels: float = 1.0
    wavelet: float = 1.0


@dataclass(frozen=True)
class Seen:
    """What is compared of B images: pixels `[B, 3, H, W]`, wavelet bands by level, and a network's features."""

    pixels: Tensor
    bands: list[Tensor]
    features: list[Tensor]

    def __getitem__(self, part: slice) -> Seen:
        """Some of the images."""
        return Seen(self.pixels[part], [band[part] for band in self.bands], [value[part] for value in self.features])


@dataclass(frozen=True)
class Objective:
    """The distance that a projection makes small.

    Attributes:
        perception: The network; None compares pixels and bands alone.
        pixel_mean: Of the model's images: `(x std + mean)` is 0 to 1.
        pixel_std: The same.
        weights: What the parts count for.
    """

    perception: Perception | None
    pixel_mean: Sequence[float]
    pixel_std: Sequence[float]
    weights: Weights = Weights()

    def look(self, images: Tensor) -> Seen:
        """What is compared of images `[B, 3, H, W]` in the network's pixel range."""
        scale = images.new_tensor(self.pixel_std)[:, None, None] * 2
        shift = images.new_tensor(self.pixel_mean)[:, None, None] * 2 - 1
        pixels = images * scale + shift
        features = [] if self.perception is None else self.perception.features(pixels)
        return Seen(pixels, wavelet_bands(pixels), features)

    def between(self, one: Seen, other: Seen) -> Tensor:
        """The distance of images, `[B]`, at least 0; one of the two may hold a single image."""
        weights = self.weights
        out = weights.pixels * (one.pixels - other.pixels).square().mean(dim=(1, 2, 3))
        by_level = [(a - b).abs().mean(dim=(1, 2, 3)) for a, b in zip(one.bands, other.bands, strict=True)]
        out = out + weights.wavelet * sum(by_level[1:], start=by_level[0]) / len(by_level)
        if self.perception is not None:
            out = out + weights.perception * self.perception.between(one.features, other.features)
        return out


def wavelet_bands(images: Tensor) -> list[Tensor]:
    """Haar coefficients of images `[B, 3, H, W]`: every level's three high bands `[B, 9, h, w]`, then the last low one.

    The transform is scaled so that the low band is the mean of each 2 x 2 pixels. A loss on pixels hardly sees fine
    detail, which is of small amplitude, and may be met by blur; level by level, detail counts as much as shading.
    """
    filters = wavelet_filters(BANKS, device=images.device, dtype=images.dtype)
    bands = []
    while min(images.shape[2:]) >= 2 * SMALLEST_BANDS:
        low, high = (dwt(images, filters) / 2).tensor_split([3], dim=1)
        bands.append(high)
        images = low
    return [*bands, images]

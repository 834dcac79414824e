"""Spectrum: mean power spectra of images, and the grid that attention windows leave in them.

Attention in windows that do not exchange information leaves edges along a grid: StyleSwin's blocking artifact (Zhang et
al., 2022, section 3.3 and figure 5), similar to coarse JPEG. The steps at these edges go up in one place and down in
the next. So they cancel at the grid's own frequencies, the multiples of 1 / 8 cycles per pixel, and raise the
frequencies beside them. The strength of the edges does have the grid's period (Wang, Bovik and Evans, ICIP 2000, "Blind
measurement of blocking artifacts in images"). All images share one grid, so the strength is averaged by position.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from swincli.errors import DataError
from swincli.metrics.definitions.radial_profile import RadialProfile, spectral_distance

LUMA = (0.299, 0.587, 0.114)
PARTS = 32  # parts of the images for the jackknife; the interval's width is then known to one in eight


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Sums of power spectra and of squared differences between neighbouring pixels, over images of one size.

    Attributes:
        count: Number of images N.
        total: Sums over the images, [3, H, W]: the power spectrum (squared magnitudes of the Fourier transform, divided
            by H W 255²); the squared difference of each pixel to its left neighbour; and to its upper neighbour, both
            divided by 255².
        parts: The images in `PARTS` parts, [PARTS, 1 + S / 2 + W + H]: number of images and the sums of their
            `RadialProfile`; None if unknown.

    Raises:
        ValueError: the sums have another shape.
    """

    count: int
    total: NDArray[np.floating]
    parts: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.total.ndim != 3 or len(self.total) != 3:
            raise ValueError(f"sums of shape {self.total.shape}, not [3, H, W]")
        height, width = self.size
        shape = (PARTS, 1 + min(height, width) // 2 + width + height)
        if self.parts is not None and self.parts.shape != shape:
            raise ValueError(f"parts of shape {self.parts.shape}, not {list(shape)}")

    def merge(self, other: Self) -> Self:
        """Spectrum of the images of both.

        Raises:
            DataError: the images have two sizes.
        """
        require_same_size(self, other)
        parts = None if self.parts is None or other.parts is None else self.parts + other.parts
        return type(self)(self.count + other.count, np.add(self.total, other.total, dtype=np.float64), parts)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        _, height, width = self.total.shape
        return height, width

    @property
    def profile(self) -> RadialProfile:
        """Power by frequency and edge strength by position."""
        return RadialProfile.from_spectrum(self.count, self.total)

    def profiles_without_parts(self) -> list[RadialProfile]:
        """The profile without each non-empty part in turn; empty if there are fewer than two such parts."""
        if self.parts is None:
            return []
        whole = self.profile
        parts = [RadialProfile(row[0], row[1:], self.size) for row in self.parts if row[0] > 0]
        return [whole.without(part) for part in parts] if len(parts) > 1 else []


@dataclass(frozen=True, eq=False)
class ImageSpectrum:
    """The spectrum of one image, in few bytes: many wait to be summed.

    Attributes:
        total: As in `Spectrum`, float32 [3, H, W].
        part: The part of the images that this one belongs to, from 0 to `PARTS` - 1.
        sums: Sums of its `RadialProfile`, float64 [S / 2 + W + H].
    """

    total: NDArray[np.float32]
    part: int
    sums: NDArray[np.float64]

    @classmethod
    def from_image(cls, image: NDArray[np.uint8]) -> Self:
        """Spectrum of one image [H, W, 3]: its luma minus the mean, under a Hann window against border effects.

        The part of the image is chosen by its content, so that order and processes do not change the parts.
        """
        luma = image @ np.array(LUMA) / 255.0
        height, width = luma.shape
        taper = np.outer(np.hanning(height), np.hanning(width))
        total = np.zeros((3, height, width), np.float32)
        total[0] = np.abs(np.fft.fft2((luma - luma.mean()) * taper)) ** 2 / (height * width)
        total[1, :, 1:] = np.diff(luma, axis=1) ** 2
        total[2, 1:] = np.diff(luma, axis=0) ** 2
        return cls(total, zlib.crc32(image.tobytes()) % PARTS, RadialProfile.from_spectrum(1, total).sums)


class SpectrumSum:
    """Adds the spectra of images in place, in float64."""

    def __init__(self) -> None:
        self._count = 0
        self._total = np.zeros((3, 0, 0))
        self._parts = np.zeros((PARTS, 0))

    def add(self, image: ImageSpectrum) -> None:
        """Add one image.

        Raises:
            DataError: it has another size than those before.
        """
        if not self._count:
            self._total = np.zeros(image.total.shape)
            self._parts = np.zeros((PARTS, 1 + len(image.sums)))
        _require_same_size(self._total.shape, image.total.shape)
        self._count += 1
        np.add(self._total, image.total, out=self._total)
        self._parts[image.part, 0] += 1
        self._parts[image.part, 1:] += image.sums

    def spectrum(self) -> Spectrum | None:
        """The spectrum of the images added so far; None without one."""
        return Spectrum(self._count, self._total, self._parts) if self._count else None


@dataclass(frozen=True, eq=False)
class SpectrumDifference:
    """The spectra of fakes and reals of one image size, and the side of the attention windows in pixels."""

    fakes: Spectrum
    reals: Spectrum
    window: int

    def values(self) -> dict[str, float]:
        """`spectrum` and, if the images hold two windows, `window_grid`; both in decibels."""
        fakes, reals = self.fakes.profile, self.reals.profile
        excess = fakes.grid_excess(self.window) - reals.grid_excess(self.window)
        return {
            "spectrum": spectral_distance(fakes, reals),
            **({"window_grid": excess} if math.isfinite(excess) else {}),
        }


def require_same_size(one: Spectrum, other: Spectrum) -> None:
    """Check that two spectra are of one image size.

    Raises:
        DataError: they are not.
    """
    _require_same_size(one.total.shape, other.total.shape)


def _require_same_size(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    if one != other:
        sizes = " and ".join(f"{width} x {height}" for _, height, width in (one, other))
        hint = "Bring all images to one size: swincli prepare-data --resolution."
        raise DataError(f"--metric spectrum: needs images of one size, not {sizes} px", hint)

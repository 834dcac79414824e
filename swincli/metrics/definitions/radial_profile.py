"""Radial profiles of power spectra, and edge strength by position in the attention windows."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

WINDOW = 8  # side of StyleSwin's attention windows at the finest level, in pixels
FLOOR = 1e-12  # smallest power per pixel, relative to 255²


@dataclass(frozen=True, eq=False)
class RadialProfile:
    """Power by frequency, and edge strength by column and by row, summed over images of one size.

    Attributes:
        count: Number of images N.
        sums: Sums over the images, float64 [S / 2 + W + H], S the shorter side: power at 1, 2, ... cycles per image,
            averaged over all directions; mean squared difference across each column; across each row.
        size: Height and width of the images.
    """

    count: float
    sums: NDArray[np.float64]
    size: tuple[int, int]

    @classmethod
    def from_spectrum(cls, count: float, total: NDArray[np.floating]) -> Self:
        """The profile of a `Spectrum` with sums `total` [3, H, W] over `count` images."""
        _, height, width = total.shape
        radius, numbers = _rings(height, width)
        power = np.bincount(radius, total[0].ravel())[1 : len(numbers) + 1] / numbers
        columns, rows = total[1].mean(axis=0, dtype=np.float64), total[2].mean(axis=1, dtype=np.float64)
        return cls(count, np.concatenate([power, columns, rows]), (height, width))

    def without(self, part: Self) -> Self:
        """The profile of the images that are not in `part`."""
        return type(self)(self.count - part.count, self.sums - part.sums, self.size)

    def by_frequency(self) -> NDArray[np.float64]:
        """Mean power over all directions in decibels, at 1, 2, ... S / 2 cycles per image, [S / 2].

        Durall et al., CVPR 2020, "Watch your up-convolution".
        """
        return decibels(self.sums[: min(self.size) // 2] / self.count)

    def edges_by_position(self, period: int = WINDOW) -> NDArray[np.float64]:
        """Edge strength by position in a window, in decibels over the median, [period].

        An edge at position p is between pixels p - 1 and p of a window; position 0 is the window's border. Rows and
        columns are averaged. NaN if the images are smaller than two windows.
        """
        if min(self.size) < 2 * period:
            return np.full(period, np.nan)
        strengths = np.zeros(period)
        start = min(self.size) // 2
        for along in np.split(self.sums[start:], [self.size[1]]):
            strengths += [along[period + position :: period].mean() for position in range(period)]
        levels = decibels(strengths / (2 * self.count))
        return levels - np.median(levels)

    def grid_excess(self, period: int = WINDOW) -> float:
        """The maximum of `edges_by_position` in decibels: how far the edges of a grid exceed those between its lines.

        It finds a grid at any offset, and also two grids, as of plain and shifted windows. NaN if the images are
        smaller than two windows.
        """
        return float(self.edges_by_position(period).max())


def decibels(power: NDArray[np.float64] | np.floating) -> NDArray[np.float64]:
    """`10 log10(power)`, with a floor so that an image of one colour has a finite spectrum."""
    return 10.0 * np.log10(np.maximum(power, FLOOR))


def spectral_distance(one: RadialProfile, other: RadialProfile) -> float:
    """Root mean square difference of two spectra by frequency, in decibels; both must have one image size."""
    return float(np.sqrt(np.mean((one.by_frequency() - other.by_frequency()) ** 2)))


@functools.lru_cache(maxsize=4)
def _rings(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ring of each frequency, [H W], and the number of frequencies in rings 1, 2, ... S / 2."""
    side = min(height, width)
    y, x = np.fft.fftfreq(height)[:, None] * side, np.fft.fftfreq(width)[None] * side
    radius = np.round(np.hypot(y, x)).astype(np.int64).ravel()
    return radius, np.bincount(radius)[1 : side // 2 + 1]

"""What is read from spectra, by frequency and by position, in few numbers a picture."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

WINDOW = 8  # side of StyleSwin's windows, in pixels of the finest map
FLOOR = 1e-12  # of the power of a pixel, relative to 255²


@dataclass(frozen=True, eq=False)
class Profile:
    """Power by frequency, and the strength of edges by column and by row, summed over pictures of one size.

    Attributes:
        count: Pictures N.
        sums: Sums over the pictures, float64 [S / 2 + W + H], S the smaller side: power, on average over all
            directions, at 1, 2, ... cycles a picture; the mean square of differences along each column; along each row.
        size: Height and width of the pictures.
    """

    count: float
    sums: NDArray[np.float64]
    size: tuple[int, int]

    @classmethod
    def of(cls, count: float, total: NDArray[np.floating]) -> Self:
        """Of the sums [3, H, W] of a `Spectrum`."""
        _, height, width = total.shape
        radius, numbers = _rings(height, width)
        power = np.bincount(radius, total[0].ravel())[1 : len(numbers) + 1] / numbers
        columns, rows = total[1].mean(axis=0, dtype=np.float64), total[2].mean(axis=1, dtype=np.float64)
        return cls(count, np.concatenate([power, columns, rows]), (height, width))

    def without(self, part: Self) -> Self:
        """Of the pictures that are not in a part of them."""
        return type(self)(self.count - part.count, self.sums - part.sums, self.size)

    def by_frequency(self) -> NDArray[np.float64]:
        """Mean over all directions in decibels, at 1, 2, ... cycles a picture up to half the smaller side.

        Durall et al., CVPR 2020, "Watch your up-convolution".
        """
        return decibels(self.sums[: min(self.size) // 2] / self.count)

    def edges_by_position(self, period: int = WINDOW) -> NDArray[np.float64]:
        """How strong edges are by where they lie inside a window, [period], in decibels over their median.

        An edge at position p lies between pixels p - 1 and p of a window, so the window's own border is at 0. Both
        directions together; NaN where pictures are smaller than two windows.
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
        """How far the strongest edges of a grid stand out from those between its lines, in decibels.

        The largest of `edges_by_position`: wherever in the windows a grid lies, and also where there are two, as of
        plain and of shifted windows. NaN where pictures are smaller than two windows.
        """
        return float(self.edges_by_position(period).max())


def decibels(power: NDArray[np.float64] | np.floating) -> NDArray[np.float64]:
    """`10 log10`, from a floor on, so that a picture of one colour has a spectrum too."""
    return 10.0 * np.log10(np.maximum(power, FLOOR))


def spectral_distance(one: Profile, other: Profile) -> float:
    """Root mean square difference of two spectra by frequency, in decibels; their pictures must have one size."""
    return float(np.sqrt(np.mean((one.by_frequency() - other.by_frequency()) ** 2)))


@functools.lru_cache(maxsize=4)
def _rings(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ring that each frequency lies in, [H W], and how many lie in ring 1, 2, ... up to half the smaller side."""
    side = min(height, width)
    y, x = np.fft.fftfreq(height)[:, None] * side, np.fft.fftfreq(width)[None] * side
    radius = np.round(np.hypot(y, x)).astype(np.int64).ravel()
    return radius, np.bincount(radius)[1 : side // 2 + 1]

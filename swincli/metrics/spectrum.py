"""Power spectra of pictures, and what the grid of attention windows leaves in them.

Attention in windows that do not look at each other draws edges along a grid, StyleSwin's blocking artifact (Zhang et
al., 2022, section 3.3 and figure 5), as coarse JPEG does. The steps at these edges are up in one place and down in the
next, so they cancel at the grid's own frequencies, the multiples of 1 / 8 cycles a pixel, and raise those beside them.
What does have the grid's period is how strong the edges are (Wang, Bovik and Evans, ICIP 2000, "Blind measurement of
blocking artifacts in images"); and since all pictures share one grid, it can be averaged over them by position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

LUMA = (0.299, 0.587, 0.114)
WINDOW = 8  # side of StyleSwin's windows, in pixels of the finest map
FLOOR = 1e-12  # of the power of a pixel, relative to 255²


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The mean power spectrum of pictures of one size, and where in them the edges lie.

    Attributes:
        count: Pictures N.
        total: Sums over the pictures, [3, H, W]: of their spectra, which are squared magnitudes of the Fourier
            transform, divided by H W 255²; of each pixel's squared difference from the one on its left; and from the
            one above it, both divided by 255².

    Raises:
        ValueError: the sums are of another shape.
    """

    count: int
    total: NDArray[np.floating]

    def __post_init__(self) -> None:
        if self.total.ndim != 3 or len(self.total) != 3:
            raise ValueError(f"sums of shape {self.total.shape}, not [3, H, W]")

    @classmethod
    def of(cls, picture: NDArray[np.uint8]) -> Self:
        """Of one picture [H, W, 3]: its luma less the mean, under a Hann window, so that borders leave no cross."""
        luma = picture @ np.array(LUMA) / 255.0
        height, width = luma.shape
        taper = np.outer(np.hanning(height), np.hanning(width))
        total = np.zeros((3, height, width), np.float32)  # of one; many may wait to be added up, in float64
        total[0] = np.abs(np.fft.fft2((luma - luma.mean()) * taper)) ** 2 / (height * width)
        total[1, :, 1:] = np.diff(luma, axis=1) ** 2
        total[2, 1:] = np.diff(luma, axis=0) ** 2
        return cls(1, total)

    def merge(self, other: Self) -> Self:
        """Of the pictures of both; they must have one size."""
        return type(self)(self.count + other.count, np.add(self.total, other.total, dtype=np.float64))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        _, height, width = self.total.shape
        return height, width

    @property
    def power(self) -> NDArray[np.float64]:
        """The mean spectrum, [H, W]."""
        mean: NDArray[np.float64] = self.total[0].astype(np.float64) / self.count
        return mean

    def by_frequency(self) -> NDArray[np.float64]:
        """Mean over all directions in decibels, at 1, 2, ... cycles a picture up to half the smaller side.

        Durall et al., CVPR 2020, "Watch your up-convolution".
        """
        height, width = self.size
        side = min(height, width)
        y, x = np.fft.fftfreq(height)[:, None] * side, np.fft.fftfreq(width)[None] * side
        radius = np.round(np.hypot(y, x)).astype(int).ravel()
        sums = np.bincount(radius, self.power.ravel())[1 : side // 2 + 1]
        numbers = np.bincount(radius)[1 : side // 2 + 1]
        return decibels(sums / numbers)

    def edges_by_position(self, period: int = WINDOW) -> NDArray[np.float64]:
        """How strong edges are by where they lie inside a window, [period], in decibels over their median.

        An edge at position p lies between pixels p - 1 and p of a window, so the window's own border is at 0. Both
        directions together; NaN where pictures are smaller than two windows.
        """
        if min(self.size) < 2 * period:
            return np.full(period, np.nan)
        strengths = np.zeros(period)
        across, down = self.total[1].mean(axis=0, dtype=np.float64), self.total[2].mean(axis=1, dtype=np.float64)
        for along in (across, down):
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


def spectral_distance(one: Spectrum, other: Spectrum) -> float:
    """Root mean square difference of two spectra by frequency, in decibels; their pictures must have one size."""
    return float(np.sqrt(np.mean((one.by_frequency() - other.by_frequency()) ** 2)))

"""Power spectra of pictures, and what the grid of attention windows leaves in them.

Attention in windows that do not look at each other draws edges along a grid, StyleSwin's blocking artifact (Zhang et
al., 2022, section 3.3 and figure 5), as coarse JPEG does. The steps at these edges are up in one place and down in the
next, so they cancel at the grid's own frequencies, the multiples of 1 / 8 cycles a pixel, and raise those beside them.
What does have the grid's period is how strong the edges are (Wang, Bovik and Evans, ICIP 2000, "Blind measurement of
blocking artifacts in images"); and since all pictures share one grid, it can be averaged over them by position.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from swincli.metrics.definitions.radial_profile import Profile

LUMA = (0.299, 0.587, 0.114)
PARTS = 32  # of the pictures, for the interval: its width is known to one in eight


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The mean power spectrum of pictures of one size, and where in them the edges lie.

    Attributes:
        count: Pictures N.
        total: Sums over the pictures, [3, H, W]: of their spectra, which are squared magnitudes of the Fourier
            transform, divided by H W 255²; of each pixel's squared difference from the one on its left; and from the
            one above it, both divided by 255².
        parts: The pictures in `PARTS` parts, [PARTS, 1 + S / 2 + W + H]: their number, and the sums of their
            `Profile`; None where they are not known.

    Raises:
        ValueError: the sums are of another shape.
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

    @classmethod
    def of(cls, picture: NDArray[np.uint8]) -> Self:
        """Of one picture [H, W, 3]: its luma less the mean, under a Hann window, so that borders leave no cross.

        Which part it falls into is chosen by its content, so that neither order nor processes change the parts.
        """
        luma = picture @ np.array(LUMA) / 255.0
        height, width = luma.shape
        taper = np.outer(np.hanning(height), np.hanning(width))
        total = np.zeros((3, height, width), np.float32)  # of one; many may wait to be added up, in float64
        total[0] = np.abs(np.fft.fft2((luma - luma.mean()) * taper)) ** 2 / (height * width)
        total[1, :, 1:] = np.diff(luma, axis=1) ** 2
        total[2, 1:] = np.diff(luma, axis=0) ** 2
        sums = Profile.of(1, total).sums
        parts = np.zeros((PARTS, 1 + len(sums)))
        parts[zlib.crc32(picture.tobytes()) % PARTS] = [1, *sums]
        return cls(1, total, parts)

    def merge(self, other: Self) -> Self:
        """Of the pictures of both; they must have one size."""
        parts = None if self.parts is None or other.parts is None else self.parts + other.parts
        return type(self)(self.count + other.count, np.add(self.total, other.total, dtype=np.float64), parts)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        _, height, width = self.total.shape
        return height, width

    @property
    def profile(self) -> Profile:
        """What is read from it."""
        return Profile.of(self.count, self.total)

    def profiles_without_parts(self) -> list[Profile]:
        """The profile without each of the parts that hold pictures, in turn; none where they are not known."""
        if self.parts is None:
            return []
        whole = self.profile
        parts = [Profile(row[0], row[1:], self.size) for row in self.parts if row[0] > 0]
        return [whole.without(part) for part in parts] if len(parts) > 1 else []

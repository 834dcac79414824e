"""Mean and standard deviation of each channel, exactly, in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Channels:
    """Sums over all pixels of all images in whole numbers, so that neither order nor grouping changes the result."""

    def __init__(self) -> None:
        self._pixels = 0
        self._sums = [0, 0, 0]
        self._squares = [0, 0, 0]

    def add(self, images: NDArray[np.uint8]) -> None:
        """Take in images, [..., H, W, 3]."""
        for channel in range(3):
            counts = np.bincount(images[..., channel].ravel(), minlength=256).tolist()
            self._sums[channel] += sum(value * count for value, count in enumerate(counts))
            self._squares[channel] += sum(value * value * count for value, count in enumerate(counts))
        self._pixels += images.size // 3

    @property
    def mean(self) -> list[float]:
        """Of red, green and blue, from 0 to 1."""
        return [total / self._pixels / 255 for total in self._sums]

    @property
    def std(self) -> list[float]:
        """Likewise, over all pixels."""
        variances = [
            (square * self._pixels - total * total) / self._pixels**2
            for total, square in zip(self._sums, self._squares, strict=True)
        ]
        return [variance**0.5 / 255 for variance in variances]

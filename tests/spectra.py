"""The spectrum of some pictures, as an evaluation sums it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from swincli.metrics.definitions.spectrum import ImageSpectrum, Spectrum, SpectrumSum


def spectrum_of(pictures: Iterable[np.ndarray]) -> Spectrum:
    sums = SpectrumSum()
    for picture in pictures:
        sums.add(ImageSpectrum.from_image(picture))
    found = sums.spectrum()
    assert found is not None
    return found

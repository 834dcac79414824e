"""Pictures through the detector, once, keeping whatever the metrics need."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swincli.console import Advance
from swincli.errors import DataError, ResourceError
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.definitions.spectrum import Spectrum
from swincli.metrics.networks.detectors import Detected, Detector
from swincli.metrics.streams.threads import grouped, in_order, regrouped
from swincli.system.resources import usable_cores

Need = Literal["moments", "features", "logits", "spectrum", "samples"]
Loader = Callable[[], NDArray[np.uint8]]
BLOCK = 1024  # features that enter the moments at a time, whatever the batch, so that the sums are the same
MOST_WORKERS = 8
SAMPLE_BYTES = 2**28  # of the first pictures that are kept as they came: 1,365 at 256 px, 85 at 1024 px


@dataclass(frozen=True, eq=False)
class Collected:
    """What is known of one side.

    Attributes:
        count: Number of pictures N.
        moments: Mean and covariance of the features, if needed.
        features: float32 [N, D], if needed.
        logits: float32 [N, C], if needed.
        spectrum: Power spectrum of the pictures as they came, if needed.
        samples: The first pictures as they came, uint8 [H, W, 3] each, as many as `SAMPLE_BYTES` hold, if needed.
    """

    count: int
    moments: Moments | None = None
    features: NDArray[np.float32] | None = None
    logits: NDArray[np.float32] | None = None
    spectrum: Spectrum | None = None
    samples: list[NDArray[np.uint8]] | None = None


def collect(
    pictures: Iterable[Loader], detector: Detector, needs: frozenset[Need], batch: int, advance: Advance
) -> Collected:
    """Take every picture through the detector.

    Decoding and resizing go ahead in threads while the detector works on the batch before.

    Args:
        pictures: Each gives uint8 [H, W, 3] when called, on any thread; sizes may differ.
        detector: Makes the features.
        needs: What to keep.
        batch: Pictures at once through the detector; makes no difference to the result beyond rounding.
        advance: Told how many more pictures are done.

    Raises:
        DataError: a picture cannot be read, or their sizes differ where spectra are needed.
        ResourceError: the detector gives features that are not finite.
    """
    moments: Moments | None = None
    kept: list[NDArray[np.float32]] = []
    beside = _Beside(needs)
    # Decoders change the warning filters; done in several threads at once, that would outlast them.
    with warnings.catch_warnings(), closing(_detect(pictures, detector, needs, batch, advance)) as looks:
        count = 0
        for block in regrouped(map(beside.keep, looks), BLOCK):
            count += len(block)
            if "moments" in needs:
                part = Moments.of(block)
                moments = part if moments is None else moments.merge(part)
            if "features" in needs:
                kept.append(block)
    return Collected(
        count,
        moments,
        np.concatenate(kept) if kept else None,
        np.concatenate(beside.logits) if beside.logits else None,
        beside.spectrum,
        beside.samples if "samples" in needs else None,
    )


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A picture on its way to the detector: resized, its spectrum, and as it came, where these are needed."""

    pixels: NDArray[Any]
    spectrum: Spectrum | None
    picture: NDArray[np.uint8] | None


class _Beside:
    """What is kept beside the features of the pictures."""

    def __init__(self, needs: frozenset[Need]) -> None:
        self.needs = needs
        self.logits: list[NDArray[np.float32]] = []
        self.spectrum: Spectrum | None = None
        self.samples: list[NDArray[np.uint8]] = []
        self._room = SAMPLE_BYTES

    def keep(self, look: tuple[Detected, list[_Prepared]]) -> NDArray[np.float32]:
        """Take what is needed of a batch, and hand on its features."""
        detected, batch = look
        if "logits" in self.needs and detected.logits is not None:
            self.logits.append(detected.logits)
        spectra = [prepared.spectrum for prepared in batch if prepared.spectrum is not None]
        if spectra:
            self.spectrum = reduce(add_spectra, spectra if self.spectrum is None else [self.spectrum, *spectra])
        for picture in (prepared.picture for prepared in batch if prepared.picture is not None):
            self._room -= picture.nbytes
            if self._room >= 0:
                self.samples.append(picture)
        return detected.features


def add_spectra(one: Spectrum, other: Spectrum) -> Spectrum:
    """The spectrum of the pictures of both.

    Raises:
        DataError: they are of two sizes.
    """
    if one.size != other.size:
        sizes = " and ".join(f"{width} x {height}" for height, width in (one.size, other.size))
        raise DataError(f"spectrum: pictures of {sizes} px cannot be averaged", "Prepare them with one --resolution.")
    return one.merge(other)


def _detect(
    pictures: Iterable[Loader], detector: Detector, needs: frozenset[Need], batch: int, advance: Advance
) -> Generator[tuple[Detected, list[_Prepared]]]:
    resize = detector.resize
    workers = min(MOST_WORKERS, usable_cores())

    def prepare(loader: Loader) -> _Prepared:
        picture = loader()
        spectrum = Spectrum.of(picture) if "spectrum" in needs else None
        return _Prepared(resize.single(picture), spectrum, picture if "samples" in needs else None)

    with closing(in_order(pictures, prepare, workers, ahead=2 * batch)) as ready:
        for group in grouped(ready, batch):
            detected = detector.detect(resize.batch([prepared.pixels for prepared in group], detector.device))
            if not np.isfinite(detected.features).all():
                raise ResourceError(f"{detector.name}: gives features that are not finite numbers")
            yield detected, group
            advance(len(group))

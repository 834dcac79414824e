"""Statistics of one side: its images go once through the detector, and what the metrics need is kept."""

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
from swincli.errors import ResourceError
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.definitions.spectrum import Spectrum
from swincli.metrics.networks.detectors import Detector, DetectorOutput
from swincli.metrics.streams.threads import in_batches, map_in_order, reblock
from swincli.system.resources import usable_cores

Statistic = Literal["moments", "features", "logits", "spectrum", "samples"]
FAKES_ONLY: frozenset[Statistic] = frozenset({"logits", "samples"})  # no metric uses them of the reals
Loader = Callable[[], NDArray[np.uint8]]
BLOCK = 1024  # features per block of moments; independent of the batch, so that the sums do not depend on it
MAX_WORKERS = 8
SAMPLE_BYTES = 2**28  # memory for samples: 1,365 images at 256 px, 85 at 1024 px


@dataclass(frozen=True, eq=False)
class SideStatistics:
    """Statistics of the fakes or of the reals; None if not needed.

    Attributes:
        count: Number of images N.
        moments: Mean and covariance of the features.
        features: float32 [N, D].
        logits: Class logits, float32 [N, C].
        spectrum: Power spectrum of the original images.
        samples: The first original images, uint8 [H, W, 3] each, as many as fit into `SAMPLE_BYTES`.
    """

    count: int
    moments: Moments | None = None
    features: NDArray[np.float32] | None = None
    logits: NDArray[np.float32] | None = None
    spectrum: Spectrum | None = None
    samples: list[NDArray[np.uint8]] | None = None


def compute_statistics(
    images: Iterable[Loader], detector: Detector, needs: frozenset[Statistic], batch: int, advance: Advance
) -> SideStatistics:
    """Send all images through the detector and keep what is needed.

    Threads decode and resize the next images while the detector works on a batch.

    Args:
        images: Loaders; each returns uint8 [H, W, 3] on any thread. Sizes may differ.
        detector: Extracts the features.
        needs: Statistics to keep.
        batch: Images per batch of the detector; changes results only by rounding.
        advance: Called with the number of images done.

    Raises:
        DataError: an image cannot be read, or spectra are needed and the sizes differ.
        ResourceError: the detector gives features that are not finite.
    """
    moments: Moments | None = None
    kept: list[NDArray[np.float32]] = []
    others = _OtherStatistics(needs)
    # Decoders change the warning filters. In several threads at once, such a change would stay.
    with warnings.catch_warnings(), closing(_run_detector(images, detector, needs, batch, advance)) as batches:
        count = 0
        for block in reblock(map(others.keep, batches), BLOCK):
            count += len(block)
            if "moments" in needs:
                part = Moments.from_features(block)
                moments = part if moments is None else moments.merge(part)
            if "features" in needs:
                kept.append(block)
    return SideStatistics(
        count,
        moments,
        np.concatenate(kept) if kept else None,
        np.concatenate(others.logits) if others.logits else None,
        others.spectrum,
        others.samples if "samples" in needs else None,
    )


@dataclass(frozen=True, eq=False)
class _PreparedImage:
    """A resized image for the detector, with its spectrum and its original if they are needed."""

    pixels: NDArray[Any]
    spectrum: Spectrum | None
    original: NDArray[np.uint8] | None


class _OtherStatistics:
    """Accumulates the statistics that are not computed from features."""

    def __init__(self, needs: frozenset[Statistic]) -> None:
        self.needs = needs
        self.logits: list[NDArray[np.float32]] = []
        self.spectrum: Spectrum | None = None
        self.samples: list[NDArray[np.uint8]] = []
        self._free_bytes = SAMPLE_BYTES

    def keep(self, detected: tuple[DetectorOutput, list[_PreparedImage]]) -> NDArray[np.float32]:
        """Keep the needed statistics of a batch and return its features."""
        output, batch = detected
        if "logits" in self.needs and output.logits is not None:
            self.logits.append(output.logits)
        spectra = [prepared.spectrum for prepared in batch if prepared.spectrum is not None]
        if spectra:
            self.spectrum = reduce(Spectrum.merge, spectra if self.spectrum is None else [self.spectrum, *spectra])
        for original in (prepared.original for prepared in batch if prepared.original is not None):
            self._free_bytes -= original.nbytes
            if self._free_bytes >= 0:
                self.samples.append(original)
        return output.features


def _run_detector(
    images: Iterable[Loader], detector: Detector, needs: frozenset[Statistic], batch: int, advance: Advance
) -> Generator[tuple[DetectorOutput, list[_PreparedImage]]]:
    """The detector's output for each batch, with the batch's images."""
    resize = detector.resize
    workers = min(MAX_WORKERS, usable_cores())

    def prepare(loader: Loader) -> _PreparedImage:
        image = loader()
        spectrum = Spectrum.from_image(image) if "spectrum" in needs else None
        return _PreparedImage(resize.single(image), spectrum, image if "samples" in needs else None)

    with closing(map_in_order(images, prepare, workers, ahead=2 * batch)) as ready:
        for group in in_batches(ready, batch):
            output = detector.detect(resize.batch([prepared.pixels for prepared in group], detector.device))
            if not np.isfinite(output.features).all():
                raise ResourceError(f"{detector.name}: gives features that are not finite numbers")
            yield output, group
            advance(len(group))

"""Statistics of one side: its images go once through the detector, and what the metrics need is kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swincli.console import Advance
from swincli.errors import ResourceError
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.definitions.spectrum import ImageSpectrum, Spectrum, SpectrumSum
from swincli.metrics.networks.detectors import Detector, DetectorOutput
from swincli.metrics.streams.threads import in_batches, map_in_order, reblock
from swincli.system.resources import usable_cores

Statistic = Literal["moments", "features", "logits", "spectrum", "samples"]
FAKES_ONLY: frozenset[Statistic] = frozenset({"logits", "samples"})  # no metric uses them of the reals
Loader = Callable[[], NDArray[np.uint8]]
BLOCK = 1024  # features per block of moments; independent of the batch, so that the sums do not depend on it
MAX_WORKERS = 8
AHEAD_BYTES = 2**28  # memory for images that wait for the detector, beside one for each thread
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
    with warnings.catch_warnings(), closing(_run_detector(images, detector, others, batch, advance)) as batches:
        count = 0
        for block in reblock(map(others.keep_output, batches), BLOCK):
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
        others.spectra.spectrum(),
        others.samples if "samples" in needs else None,
    )


@dataclass(frozen=True, eq=False)
class _PreparedImage:
    """A resized image for the detector, with its spectrum and its original if they are needed."""

    pixels: NDArray[Any]
    spectrum: ImageSpectrum | None
    original: NDArray[np.uint8] | None

    @property
    def size(self) -> int:
        """Bytes in memory."""
        spectrum = 0 if self.spectrum is None else self.spectrum.total.nbytes
        return self.pixels.nbytes + spectrum + (0 if self.original is None else self.original.nbytes)


class _OtherStatistics:
    """Accumulates the statistics that are not computed from features."""

    def __init__(self, needs: frozenset[Statistic]) -> None:
        self.needs = needs
        self.logits: list[NDArray[np.float32]] = []
        self.spectra = SpectrumSum()
        self.samples: list[NDArray[np.uint8]] = []
        self._free_bytes = SAMPLE_BYTES

    def keep_image(self, prepared: _PreparedImage) -> NDArray[Any]:
        """Keep the needed statistics of an image and return its pixels."""
        if prepared.spectrum is not None:
            self.spectra.add(prepared.spectrum)
        if prepared.original is not None:
            self._free_bytes -= prepared.original.nbytes
            if self._free_bytes >= 0:
                self.samples.append(prepared.original)
        return prepared.pixels

    def keep_output(self, output: DetectorOutput) -> NDArray[np.float32]:
        """Keep the needed statistics of a batch's output and return its features."""
        if "logits" in self.needs and output.logits is not None:
            self.logits.append(output.logits)
        return output.features


def _run_detector(
    images: Iterable[Loader], detector: Detector, others: _OtherStatistics, batch: int, advance: Advance
) -> Generator[DetectorOutput]:
    """The detector's output for each batch; `others` keeps what is not computed from it."""
    resize, needs = detector.resize, others.needs
    workers = min(MAX_WORKERS, usable_cores())

    def prepare(loader: Loader) -> _PreparedImage:
        image = loader()
        spectrum = ImageSpectrum.from_image(image) if "spectrum" in needs else None
        return _PreparedImage(resize.single(image), spectrum, image if "samples" in needs else None)

    waiting = map_in_order(images, prepare, workers, ahead=2 * batch, size=lambda image: image.size, room=AHEAD_BYTES)
    with closing(waiting) as ready:
        for group in in_batches(map(others.keep_image, ready), batch):
            output = detector.detect(resize.batch(group, detector.device))
            if not np.isfinite(output.features).all():
                raise ResourceError(f"{detector.name}: gives features that are not finite numbers")
            yield output
            advance(len(group))

"""Pictures through the detector, once, keeping whatever the metrics need."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from swincli.console import Advance
from swincli.errors import ResourceError
from swincli.metrics.detectors import Detector
from swincli.metrics.moments import Moments
from swincli.metrics.pipeline import grouped, in_order, regrouped

Need = Literal["moments", "features"]
Loader = Callable[[], NDArray[np.uint8]]
BLOCK = 1024  # features that enter the moments at a time, whatever the batch, so that the sums are the same
MOST_WORKERS = 8


@dataclass(frozen=True, eq=False)
class Collected:
    """What is known of one side.

    Attributes:
        count: Number of pictures N.
        moments: Mean and covariance of the features, if needed.
        features: float32 [N, D], if needed.
    """

    count: int
    moments: Moments | None
    features: NDArray[np.float32] | None


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
        DataError: a picture cannot be read.
        ResourceError: the detector gives features that are not finite.
    """
    moments: Moments | None = None
    kept: list[NDArray[np.float32]] = []
    count = 0
    # Decoders change the warning filters; done in several threads at once, that would outlast them.
    with warnings.catch_warnings(), closing(_detect(pictures, detector, batch, advance)) as detected:
        for block in regrouped(detected, BLOCK):
            count += len(block)
            if "moments" in needs:
                part = Moments.of(block)
                moments = part if moments is None else moments.merge(part)
            if "features" in needs:
                kept.append(block)
    return Collected(count, moments, np.concatenate(kept) if kept else None)


def _detect(
    pictures: Iterable[Loader], detector: Detector, batch: int, advance: Advance
) -> Generator[NDArray[np.float32]]:
    resize = detector.resize
    workers = min(MOST_WORKERS, os.cpu_count() or 1)
    ready = in_order(pictures, lambda picture: resize.single(picture()), workers, ahead=2 * batch)
    with closing(ready):
        for group in grouped(ready, batch):
            features = detector.features(resize.batch(group, detector.device))
            if not np.isfinite(features).all():
                raise ResourceError(f"{detector.name}: gives features that are not finite numbers")
            yield features
            advance(len(group))

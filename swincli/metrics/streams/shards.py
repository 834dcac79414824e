"""Statistics of one side in several processes: each computes its share, and rank 0 merges the shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from swincli.console import Advance
from swincli.metrics.definitions.spectrum import Spectrum
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.streams.features import SAMPLE_BYTES, Loader, SideStatistics, Statistic, compute_statistics
from swincli.system.distributed import Processes


def gather_statistics(
    images: Iterable[Loader],
    total: int,
    detector: Detector,
    needs: frozenset[Statistic],
    batch: int,
    advance: Advance,
    processes: Processes,
) -> SideStatistics:
    """Compute the statistics of this rank's share of the images, and merge all shares on rank 0.

    Args:
        images: This rank's share, as by `Processes.shard`.
        total: Number of images in all shares.
        detector: Extracts the features.
        needs: Statistics to keep.
        batch: Images per batch of the detector.
        advance: Called with the number of images done by all ranks.
        processes: The ranks that have the shares.

    Returns:
        On rank 0 the statistics of all images; on other ranks only their number.

    Raises:
        SwincliError: on rank 0, the error of `compute_statistics` on any rank, or two shares have images of different
            sizes and spectra are needed.
        PeerFailedError: on the other ranks.
    """
    mine = processes.run_on_all(lambda told: compute_statistics(images, detector, needs, batch, told), advance)
    if processes.world_size == 1:
        return mine
    if mine.samples is not None:
        used = sum(processes.all_gather(sample_bytes_used(mine))[: processes.rank])
        mine = replace(mine, samples=samples_that_fit(used, mine.samples))
    shares = processes.gather(mine)
    return processes.run_on_all(lambda _: merge_shares(shares) if shares else SideStatistics(total))


def merge_shares(shares: Sequence[SideStatistics]) -> SideStatistics:
    """Statistics of all images, from the statistics of consecutive shares of them.

    Raises:
        DataError: the shares have spectra of two image sizes.
    """
    moments = [share.moments for share in shares if share.moments is not None]
    spectra = [share.spectrum for share in shares if share.spectrum is not None]
    samples = [share.samples for share in shares if share.samples is not None]
    return SideStatistics(
        sum(share.count for share in shares),
        reduce(lambda one, other: one.merge(other), moments) if moments else None,
        _concatenate([share.features for share in shares]),
        _concatenate([share.logits for share in shares]),
        reduce(Spectrum.merge, spectra) if spectra else None,
        [image for share in samples for image in share] if samples else None,
    )


def _concatenate(shares: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    found = [share for share in shares if share is not None]
    return np.concatenate(found) if found else None


def sample_bytes_used(share: SideStatistics) -> int:
    """Bytes of `SAMPLE_BYTES` that a share's samples use; all of them if not all of its images did fit."""
    samples = share.samples or []
    return SAMPLE_BYTES if len(samples) < share.count else sum(image.nbytes for image in samples)


def samples_that_fit(used: int, samples: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """The samples of a share that fit into `SAMPLE_BYTES` after `used` bytes of the earlier shares."""
    ends = accumulate((image.nbytes for image in samples), initial=used)
    next(ends)
    return [image for image, end in zip(samples, ends, strict=True) if end <= SAMPLE_BYTES]

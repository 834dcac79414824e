"""One side's pictures through the detector in several processes, each with its share, and together again in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from swincli.console import Advance
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.streams.features import SAMPLE_BYTES, Collected, Loader, Need, add_spectra, collect
from swincli.system.distributed import Processes


def collect_shares(
    pictures: Iterable[Loader],
    total: int,
    detector: Detector,
    needs: frozenset[Need],
    batch: int,
    advance: Advance,
    processes: Processes,
) -> Collected:
    """Take this process's share of the pictures through the detector, and bring all shares together.

    Args:
        pictures: Its share, as of `Processes.share`.
        total: How many there are in all shares.
        detector: Makes the features.
        needs: What to keep.
        batch: Pictures at once through the detector.
        advance: Told how many more pictures are done, in all processes.
        processes: Those that have the other shares.

    Returns:
        What is known of all of them, in the leading process; in the others no more than their number.

    Raises:
        SwincliError: of `collect`, or the sizes of pictures differ between two shares where spectra are needed; in the
            leading process, wherever it was.
        PeerFailedError: in the others.
    """
    mine = processes.run_on_all(lambda told: collect(pictures, detector, needs, batch, told), advance)
    if processes.world_size == 1:
        return mine
    if mine.samples is not None:
        taken = sum(processes.all_gather(room_taken(mine))[: processes.rank])
        mine = replace(mine, samples=samples_after(taken, mine.samples))
    parts = processes.gather(mine)
    return processes.run_on_all(lambda _: join(parts) if parts else Collected(total))


def join(parts: Sequence[Collected]) -> Collected:
    """What is known of all pictures, from what is known of the first ones, the next ones and so on.

    Raises:
        DataError: there are spectra of two sizes.
    """
    moments = [part.moments for part in parts if part.moments is not None]
    spectra = [part.spectrum for part in parts if part.spectrum is not None]
    samples = [part.samples for part in parts if part.samples is not None]
    return Collected(
        sum(part.count for part in parts),
        reduce(lambda one, other: one.merge(other), moments) if moments else None,
        _rows([part.features for part in parts]),
        _rows([part.logits for part in parts]),
        reduce(add_spectra, spectra) if spectra else None,
        [picture for share in samples for picture in share] if samples else None,
    )


def _rows(parts: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None


def room_taken(part: Collected) -> int:
    """How many of the `SAMPLE_BYTES` a share's first pictures take: all, where they are not all of its pictures."""
    samples = part.samples or []
    return SAMPLE_BYTES if len(samples) < part.count else sum(picture.nbytes for picture in samples)


def samples_after(taken: int, samples: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Those of a share's first pictures that are among the first of all, where earlier shares take so much room."""
    ends = accumulate((picture.nbytes for picture in samples), initial=taken)
    next(ends)
    return [picture for picture, end in zip(samples, ends, strict=True) if end <= SAMPLE_BYTES]

"""Cache of reference statistics, so that the reals go through the detector only once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from swincli.console import Console
from swincli.data.images.decode import DECODING
from swincli.errors import DataError, ResourceError
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.definitions.spectrum import Spectrum
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.protocol import ReferenceRecord, library_versions
from swincli.metrics.streams.features import SideStatistics, Statistic
from swincli.metrics.streams.images import ImageSet
from swincli.metrics.streams.shards import gather_statistics
from swincli.system.array_files import open_arrays
from swincli.system.atomic_files import write_arrays
from swincli.system.cache import cache_places, write_cached
from swincli.system.distributed import Processes

FORMAT = 3  # 2 could hold moments of pictures that threads had mixed up

CACHED: tuple[Statistic, ...] = ("moments", "features", "spectrum")


@dataclass(frozen=True)
class ReferenceKey:
    """Cache key: everything that the features of a reference depend on.

    Features of two kinds of device or two versions of a library differ in their last digits. A result must not depend
    on which of them was computed first.

    Attributes:
        content_hash: Of all images of the source.
        detector_sha256: Of the detector's file.
        resize: Name of the resize to the detector's input size.
        device: Kind of device, such as "cuda".
        count: Number of images.
        width: Length of a feature vector.
        part: Which images of the source: "all", or a random subset.
        pixels: Normalisation of the pixels; None if the network normalises by itself.
        precision: Of the detector.
        decoding: How files become pixels.
        versions: Versions of swincli and of the libraries that process the pixels.
        format: Of the file in the cache.
    """

    content_hash: str
    detector_sha256: str
    resize: str
    device: str
    count: int
    width: int
    part: str = "all"
    pixels: str | None = None
    precision: str = "float32"
    decoding: str = DECODING
    versions: dict[str, str] = field(default_factory=library_versions)
    format: int = FORMAT

    @property
    def name(self) -> Path:
        """The file's path in the cache."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return Path("reference", f"{digest[:32]}.npz")


def measure_reference(
    images: ImageSet,
    detector: Detector,
    needs: frozenset[Statistic],
    batch: int,
    console: Console,
    processes: Processes | None = None,
) -> tuple[ReferenceRecord, SideStatistics]:
    """The record and the statistics of a reference, from the cache or from its images.

    Moments are always computed, as they cost little beside the features. What a pass gives is added to what the cache
    has, so metrics that alternate cost no more passes. A cache file that cannot be read is computed
    again; if it cannot be written, there is a warning. Rank 0 alone reads and writes the cache and gets the statistics;
    other ranks get only the number of images.

    Raises:
        SwincliError: an image cannot be read.
    """
    processes = processes or Processes()
    cached: list[SideStatistics] = []

    def look_up() -> tuple[ReferenceKey, ReferenceRecord]:
        key, record = reference_key(images, detector, console)
        statistics = load(key, needs)
        cached.extend([] if statistics is None else [statistics])
        return key, record

    (key, record), found = processes.from_main(lambda: (look_up(), bool(cached)))
    if found:
        console.say(f"Reference: {images.count:,} images of {images.source}, cached")
        return record, cached[0] if cached else SideStatistics(images.count)
    share = processes.shard(images.count, batch)
    loaders = images.read(np.arange(share.start, share.stop))
    with console.progress("Reference", images.count) as advance:
        statistics = gather_statistics(loaders, images.count, detector, needs | {"moments"}, batch, advance, processes)
    processes.from_main(lambda: _save_or_warn(key, statistics, console))
    return record, statistics


def _save_or_warn(key: ReferenceKey, statistics: SideStatistics, console: Console) -> None:
    try:
        save(key, _with_cached(key, statistics))
    except (ResourceError, OSError) as error:
        console.warn(f"the statistics of the reference are not cached: {error}", once=True)


def _with_cached(key: ReferenceKey, statistics: SideStatistics) -> SideStatistics:
    """The statistics, and those that only the cache has: they are of the same images and the same detector."""
    missing: list[Statistic] = [name for name in CACHED if getattr(statistics, name) is None]
    found = {name: load(key, frozenset({name})) for name in missing}
    return replace(statistics, **{name: getattr(side, name) for name, side in found.items() if side is not None})


def reference_key(images: ImageSet, detector: Detector, console: Console) -> tuple[ReferenceKey, ReferenceRecord]:
    """The cache key of a reference, and its record for the protocol.

    Raises:
        DataError: an image cannot be read.
    """
    subset = images.subset
    with console.progress("Hashing the reference", subset.of if subset else images.count) as advance:
        content_hash = images.content_hash(advance)
    part = f"{subset.seed} of {subset.of}" if subset else "all"
    detection = (detector.sha256, detector.resize.name, detector.device.type)
    key = ReferenceKey(content_hash, *detection, images.count, detector.width, part, detector.pixels)
    record = ReferenceRecord(images.source, images.count, images.resolution, content_hash)
    return key, replace(record, drawn_from=subset.of, drawn_with=subset.seed) if subset else record


def save(key: ReferenceKey, statistics: SideStatistics) -> None:
    """Write statistics to the cache.

    Raises:
        ResourceError: the cache cannot be written.
    """
    arrays: dict[str, Any] = {"key": np.array(json.dumps(asdict(key), sort_keys=True))}
    if statistics.moments is not None:
        arrays |= {"mean": statistics.moments.mean, "scatter": statistics.moments.scatter}
    if statistics.features is not None:
        arrays["features"] = statistics.features
    if statistics.spectrum is not None:
        arrays["spectrum"] = statistics.spectrum.total
        if statistics.spectrum.parts is not None:
            arrays["spectrum_parts"] = statistics.spectrum.parts
    write_cached(key.name, lambda path: write_arrays(path, arrays))


def load(key: ReferenceKey, needs: frozenset[Statistic]) -> SideStatistics | None:
    """Read statistics from the cache; None if one is missing, or the file is damaged or has another key or shape."""
    found = (_load(place / key.name, key, needs) for place in cache_places())
    return next((statistics for statistics in found if statistics is not None), None)


def _load(path: Path, key: ReferenceKey, needs: frozenset[Statistic]) -> SideStatistics | None:
    try:
        with open_arrays(path) as arrays:
            if str(arrays["key"]) != json.dumps(asdict(key), sort_keys=True):
                return None
            moments = Moments(key.count, arrays["mean"], arrays["scatter"]) if "moments" in needs else None
            features = arrays["features"] if "features" in needs else None
            sums = (arrays["spectrum"], arrays["spectrum_parts"]) if "spectrum" in needs else None
            spectrum = None if sums is None else Spectrum(key.count, *sums)
    except DataError:
        return None
    if moments is not None and (moments.mean.shape != (key.width,) or moments.scatter.shape != (key.width, key.width)):
        return None
    if features is not None and features.shape != (key.count, key.width):
        return None
    return SideStatistics(key.count, moments, features, spectrum=spectrum)

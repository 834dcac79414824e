"""What is known of the real side, remembered between runs: it costs as much as the fakes and changes never."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from swincli.console import Console
from swincli.errors import ResourceError
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.definitions.spectrum import Spectrum
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.protocol import Reference
from swincli.metrics.streams.features import Collected, Need
from swincli.metrics.streams.images import ImageSet
from swincli.metrics.streams.shards import collect_shares
from swincli.system.atomic_files import write_arrays
from swincli.system.cache import cache_folder
from swincli.system.distributed import Processes

FORMAT = 2


@dataclass(frozen=True)
class ReferenceKey:
    """Everything that the features of a reference depend on; `part` says which of its pictures were drawn.

    The kind of device is among it: a CPU's features and CUDA's differ in their last digits, and what a command prints
    should not depend on which of them came first.
    """

    content_hash: str
    detector_sha256: str
    resize: str
    device: str
    count: int
    width: int
    part: str = "all"
    format: int = FORMAT

    @property
    def path(self) -> Path:
        """The file in the cache."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return cache_folder() / "reference" / f"{digest[:32]}.npz"


def measure_reference(
    images: ImageSet,
    detector: Detector,
    needs: frozenset[Need],
    batch: int,
    console: Console,
    processes: Processes | None = None,
) -> tuple[Reference, Collected]:
    """The pictures of a reference through the detector, or what is remembered of them.

    Moments are kept whatever the metrics need: they are small beside the work. A cache that cannot be read is made
    again; one that cannot be written is a warning. Of several processes the leading one alone looks for what is
    remembered and remembers, and gets to know more than the number.

    Raises:
        SwincliError: a picture cannot be read.
    """
    processes = processes or Processes()
    known: list[Collected] = []

    def look_up() -> tuple[ReferenceKey, Reference]:
        key, reference = identify(images, detector, console)
        remembered = load(key, needs)
        known.extend([] if remembered is None else [remembered])
        return key, reference

    (key, reference), found = processes.from_main(lambda: (look_up(), bool(known)))
    if found:
        console.say(f"Reference: {images.count:,} images of {images.source}, remembered")
        return reference, known[0] if known else Collected(images.count)
    share = processes.shard(images.count, batch)
    pictures = images.read(np.arange(share.start, share.stop))
    with console.progress("Reference", images.count) as advance:
        collected = collect_shares(pictures, images.count, detector, needs | {"moments"}, batch, advance, processes)
    processes.from_main(lambda: _remember(key, collected, console))
    return reference, collected


def _remember(key: ReferenceKey, collected: Collected, console: Console) -> None:
    try:
        save(key, collected)
    except (ResourceError, OSError) as error:
        console.warn(f"the reference will have to be measured again: {error}")


def identify(images: ImageSet, detector: Detector, console: Console) -> tuple[ReferenceKey, Reference]:
    """What is remembered goes by, and what the protocol says of it.

    Raises:
        DataError: a picture cannot be read.
    """
    part = images.part
    with console.progress("Looking through the reference", part.of if part else images.count) as advance:
        content_hash = images.content_hash(advance)
    drawn = f"{part.seed} of {part.of}" if part else "all"
    how = (detector.sha256, detector.resize.name, detector.device.type)
    key = ReferenceKey(content_hash, *how, images.count, detector.width, drawn)
    record = Reference(images.source, images.count, images.resolution, content_hash)
    return key, replace(record, drawn_from=part.of, drawn_with=part.seed) if part else record


def save(key: ReferenceKey, collected: Collected) -> None:
    """Remember what was collected.

    Raises:
        ResourceError: the cache cannot be written.
    """
    arrays: dict[str, Any] = {"key": np.array(json.dumps(asdict(key), sort_keys=True))}
    if collected.moments is not None:
        arrays |= {"mean": collected.moments.mean, "scatter": collected.moments.scatter}
    if collected.features is not None:
        arrays["features"] = collected.features
    if collected.spectrum is not None:
        arrays["spectrum"] = collected.spectrum.total
        if collected.spectrum.parts is not None:
            arrays["spectrum_parts"] = collected.spectrum.parts
    write_arrays(key.path, arrays)


def load(key: ReferenceKey, needs: frozenset[Need]) -> Collected | None:
    """What is remembered; None where it is not all that is needed, cannot be read or is something else."""
    try:
        with key.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["key"]) != json.dumps(asdict(key), sort_keys=True):
                return None
            moments = Moments(key.count, arrays["mean"], arrays["scatter"]) if "moments" in needs else None
            features = arrays["features"] if "features" in needs else None
            sums = (arrays["spectrum"], arrays["spectrum_parts"]) if "spectrum" in needs else None
            spectrum = None if sums is None else Spectrum(key.count, *sums)
    except Exception:  # a damaged archive raises nearly anything
        return None
    if moments is not None and (moments.mean.shape != (key.width,) or moments.scatter.shape != (key.width, key.width)):
        return None
    if features is not None and features.shape != (key.count, key.width):
        return None
    return Collected(key.count, moments, features, spectrum=spectrum)

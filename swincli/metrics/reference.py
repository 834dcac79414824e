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
from swincli.files import write_atomically
from swincli.metrics.cache import cache_folder
from swincli.metrics.detectors import Detector
from swincli.metrics.features import Collected, Need, collect
from swincli.metrics.moments import Moments
from swincli.metrics.protocol import Reference
from swincli.metrics.spectrum import Spectrum
from swincli.metrics.streams import ImageSet

FORMAT = 2


@dataclass(frozen=True)
class ReferenceKey:
    """Everything that the features of a reference depend on; `part` says which of its pictures were drawn."""

    content_hash: str
    detector_sha256: str
    resize: str
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
    images: ImageSet, detector: Detector, needs: frozenset[Need], batch: int, console: Console
) -> tuple[Reference, Collected]:
    """The pictures of a reference through the detector, or what is remembered of them.

    Moments are kept whatever the metrics need: they are small beside the work. A cache that cannot be read is made
    again; one that cannot be written is a warning.

    Raises:
        DataError: a picture cannot be read.
    """
    key, reference = identify(images, detector, console)
    remembered = load(key, needs)
    if remembered is not None:
        console.say(f"Reference: {images.count:,} images of {images.source}, remembered")
        return reference, remembered
    with console.progress("Reference", images.count) as advance:
        collected = collect(images.read(np.arange(images.count)), detector, needs | {"moments"}, batch, advance)
    try:
        save(key, collected)
    except (ResourceError, OSError) as error:
        console.warn(f"the reference will have to be measured again: {error}")
    return reference, collected


def identify(images: ImageSet, detector: Detector, console: Console) -> tuple[ReferenceKey, Reference]:
    """What is remembered goes by, and what the protocol says of it.

    Raises:
        DataError: a picture cannot be read.
    """
    part = images.part
    with console.progress("Looking through the reference", part.of if part else images.count) as advance:
        content_hash = images.content_hash(advance)
    drawn = f"{part.seed} of {part.of}" if part else "all"
    key = ReferenceKey(content_hash, detector.sha256, detector.resize.name, images.count, detector.width, drawn)
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

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)

    write_atomically(key.path, write)


def load(key: ReferenceKey, needs: frozenset[Need]) -> Collected | None:
    """What is remembered; None where it is not all that is needed, cannot be read or is something else."""
    try:
        with key.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["key"]) != json.dumps(asdict(key), sort_keys=True):
                return None
            moments = Moments(key.count, arrays["mean"], arrays["scatter"]) if "moments" in needs else None
            features = arrays["features"] if "features" in needs else None
            spectrum = Spectrum(key.count, arrays["spectrum"]) if "spectrum" in needs else None
    except Exception:  # a damaged archive raises nearly anything
        return None
    if moments is not None and (moments.mean.shape != (key.width,) or moments.scatter.shape != (key.width, key.width)):
        return None
    if features is not None and features.shape != (key.count, key.width):
        return None
    return Collected(key.count, moments, features, spectrum=spectrum)

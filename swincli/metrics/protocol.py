"""Protocol of a measurement: everything that its values depend on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from swincli.data.images.decode import DECODING
from swincli.system.atomic_files import append_json_line
from swincli.version import __version__

_LIBRARIES = ("torch", "numpy", "pillow", "clean-fid")


@dataclass(frozen=True)
class NetworkRecord:
    """A pretrained network that is not the detector: one that a metric uses, or that D looked through."""

    name: str
    sha256: str


@dataclass(frozen=True)
class FakesRecord:
    """The fakes.

    Attributes:
        source: Model file, or path of the images.
        num: Number of images.
        resolution: Side in pixels; None if sizes may differ.
        seeds: First and last seed of generated images.
        truncation: Truncation of generated images; 1 is none.
        images_seen: Training images that the model has seen.
        classes: How classes were drawn; None for an unconditional model.
        drawn_from: Number of images of the source if `num` of them were drawn, else None.
        drawn_with: Seed of the draw.
        judged_by: Pretrained network that D looked through in training; None for none, or if it is not known.
        tuned: Identity of the tuned weights that the model had; None for none.
    """

    source: str
    num: int
    resolution: int | None
    seeds: tuple[int, int] | None = None
    truncation: float | None = None
    images_seen: int | None = None
    classes: str | None = None
    drawn_from: int | None = None
    drawn_with: int | None = None
    judged_by: NetworkRecord | None = None
    tuned: str | None = None


@dataclass(frozen=True)
class ReferenceRecord:
    """The reals.

    Attributes:
        source: Path of the images, at the time when their statistics were computed.
        num: Number of images; None if a file of statistics does not say.
        resolution: Side in pixels; None if sizes may differ.
        content_hash: Hash of all images of the source; for another program's statistics, hash of the file.
        drawn_from: Number of images of the source if `num` of them were drawn, else None.
        drawn_with: Seed of the draw.
        statistics: The file of statistics that was used instead of the images.
    """

    source: str
    num: int | None
    resolution: int | None
    content_hash: str
    drawn_from: int | None = None
    drawn_with: int | None = None
    statistics: str | None = None


@dataclass(frozen=True)
class DetectorRecord:
    """The detector, the length of its features, and the normalisation of its pixels (None: by the network itself)."""

    name: str
    sha256: str
    width: int
    pixels: str | None = None


@dataclass(frozen=True)
class Protocol:
    """How a measurement was made.

    Attributes:
        fakes: The fakes.
        reference: The reals.
        detector: The detector.
        resize: Name of the resize to the detector's input size.
        quantisation: Type of the pixels before the resize.
        seed: Seed of the metrics' random draws.
        device: Device of the detector.
        versions: Versions of the libraries by name.
        preset: The preset of `--protocol`, if any.
        networks: Other networks by the name of the metric that used them.
        decoding: How image files became pixels, for sides that are files.
    """

    fakes: FakesRecord
    reference: ReferenceRecord
    detector: DetectorRecord
    resize: str
    quantisation: str
    seed: int
    device: str
    versions: dict[str, str]
    preset: str | None = None
    networks: dict[str, NetworkRecord] = field(default_factory=dict)
    decoding: str = DECODING

    def rows(self) -> list[tuple[str, str]]:
        """Name and text of each row of the printed protocol."""
        fakes, reference, judge = self.fakes, self.reference, self.fakes.judged_by
        drawn = [f"{fakes.num:,} of {fakes.source}", *_drawn(fakes), _side(fakes.resolution)]
        if fakes.images_seen is not None:
            drawn.append(f"after {fakes.images_seen:,} images")
        if fakes.seeds is not None:
            drawn.append(f"seeds {fakes.seeds[0]}-{fakes.seeds[1]}, truncation {fakes.truncation:g}")
        if fakes.tuned is not None:
            drawn.append(f"with tuned weights {fakes.tuned}")
        if fakes.classes is not None:
            drawn.append(f"classes {fakes.classes}")
        return [
            *([("protocol", self.preset)] if self.preset else []),
            ("fakes", ", ".join(drawn)),
            *([("judged by", f"D on features of {judge.name}, sha256 {judge.sha256[:12]}")] if judge else []),
            ("reference", _describe(reference)),
            ("detector", f"{self.detector.name}, sha256 {self.detector.sha256[:12]}, on {self.device}"),
            *((f"{metric} by", f"{each.name}, sha256 {each.sha256[:12]}") for metric, each in self.networks.items()),
            ("decoding", self.decoding),
            ("resize", f"{self.resize}, from {self.quantisation}"),
            ("versions", ", ".join(f"{name} {number}" for name, number in self.versions.items())),
        ]


def library_versions() -> dict[str, str]:
    """Versions of swincli and of the libraries that process the pixels."""
    versions = {"swincli": __version__}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return versions


def append_record(
    run: Path, values: dict[str, float], protocol: Protocol, intervals: Mapping[str, tuple[float, float]] | None = None
) -> None:
    """Append one line to a run's `metrics.jsonl`; "intervals" is left out if empty.

    Raises:
        ResourceError: the file cannot be written.
    """
    record: dict[str, Any] = {
        "images_seen": protocol.fakes.images_seen,
        "metrics": values,
        **({"intervals": intervals} if intervals else {}),
        "protocol": dataclasses.asdict(protocol),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    append_json_line(run / "metrics.jsonl", record)


def _describe(reference: ReferenceRecord) -> str:
    number = "an unknown number" if reference.num is None else f"{reference.num:,}"
    parts = [f"{number} of {reference.source}", *_drawn(reference)]
    if reference.num is not None:
        parts.append(_side(reference.resolution))
    if reference.statistics is not None and reference.statistics != reference.source:
        parts.append(f"by {reference.statistics}")
    return ", ".join([*parts, reference.content_hash[:12]])


def _drawn(side: FakesRecord | ReferenceRecord) -> list[str]:
    return [] if side.drawn_from is None else [f"drawn from {side.drawn_from:,} with seed {side.drawn_with}"]


def _side(resolution: int | None) -> str:
    return f"{resolution} px" if resolution else "original sizes"

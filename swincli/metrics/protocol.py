"""How a number was measured: everything that it would change with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from swincli import __version__
from swincli.system.atomic_files import append_json_line

_LIBRARIES = ("torch", "numpy", "pillow", "clean-fid")


@dataclass(frozen=True)
class Fakes:
    """The pictures that are judged.

    Attributes:
        source: Model file, or where pictures lie.
        num: How many.
        resolution: Their side in pixels; None where sizes may differ.
        seeds: First and last seed of generated ones.
        truncation: Strength of truncation of generated ones; 1 is none.
        images_seen: How far their model was trained.
        classes: How the classes of generated ones were chosen; None for an unconditional model.
    """

    source: str
    num: int
    resolution: int | None
    seeds: tuple[int, int] | None = None
    truncation: float | None = None
    images_seen: int | None = None
    classes: str | None = None


@dataclass(frozen=True)
class Reference:
    """The real pictures.

    Attributes:
        source: Where they lie, or lay when their statistics were saved.
        num: How many; None of statistics that do not say.
        resolution: Their side in pixels, if they share one.
        content_hash: Of all pictures that lie there; of another program's statistics, of the file.
        drawn_from: How many lie there, where `num` of them were drawn.
        drawn_with: The seed that drew them.
        statistics: The file of statistics that was used in their place.
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
    """The network that made the features, and their length."""

    name: str
    sha256: str
    width: int


@dataclass(frozen=True)
class NetworkRecord:
    """A network that a metric looks with beside the detector."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Protocol:
    """How both sides came to the numbers.

    Of its own attributes, `preset` names the known protocol that was asked for, and `networks` those beside the
    detector that took part, by the names of their metrics.
    """

    fakes: Fakes
    reference: Reference
    detector: DetectorRecord
    resize: str
    quantisation: str
    seed: int
    device: str
    versions: dict[str, str]
    preset: str | None = None
    networks: dict[str, NetworkRecord] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, str]]:
        """What to show people, as name and value."""
        fakes, reference = self.fakes, self.reference
        drawn = [f"{fakes.num:,} of {fakes.source}", _side(fakes.resolution)]
        if fakes.images_seen is not None:
            drawn.append(f"after {fakes.images_seen:,} images")
        if fakes.seeds is not None:
            drawn.append(f"seeds {fakes.seeds[0]}-{fakes.seeds[1]}, truncation {fakes.truncation:g}")
        if fakes.classes is not None:
            drawn.append(f"classes {fakes.classes}")
        return [
            *([("protocol", self.preset)] if self.preset else []),
            ("fakes", ", ".join(drawn)),
            ("reference", _describe(reference)),
            ("detector", f"{self.detector.name}, sha256 {self.detector.sha256[:12]}, on {self.device}"),
            *((f"{metric} by", f"{each.name}, sha256 {each.sha256[:12]}") for metric, each in self.networks.items()),
            ("resize", f"{self.resize}, from {self.quantisation}"),
            ("versions", ", ".join(f"{name} {number}" for name, number in self.versions.items())),
        ]


def library_versions() -> dict[str, str]:
    """Versions of swincli and of the libraries that the pixels go through."""
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
    """Add one line to a run's `metrics.jsonl`; intervals only where there are any.

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


def _describe(reference: Reference) -> str:
    number = "an unknown number" if reference.num is None else f"{reference.num:,}"
    parts = [f"{number} of {reference.source}"]
    if reference.drawn_from is not None:
        parts.append(f"drawn from {reference.drawn_from:,} with seed {reference.drawn_with}")
    if reference.num is not None:
        parts.append(_side(reference.resolution))
    if reference.statistics is not None and reference.statistics != reference.source:
        parts.append(f"by {reference.statistics}")
    return ", ".join([*parts, reference.content_hash[:12]])


def _side(resolution: int | None) -> str:
    return f"{resolution} px" if resolution else "sizes as they come"

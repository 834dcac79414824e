"""What a command line of `swincli interpolate` asks for, and whether that can be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from swincli.errors import UsageError


class WalkSpace(StrEnum):
    """Where a walk goes from one key frame to the next."""

    w = "w"
    z = "z"


class Curve(StrEnum):
    """How it goes in w."""

    linear = "linear"
    spline = "spline"


class Easing(StrEnum):
    """How it slows down towards key frames."""

    none = "none"
    smooth = "smooth"
    smoother = "smoother"


class Pace(StrEnum):
    """What is equal from frame to frame."""

    latent = "latent"
    perceptual = "perceptual"


@dataclass(frozen=True)
class Request:
    """The options of `swincli interpolate`; seeds and the grid's columns and rows as numbers, all else as given."""

    seeds: list[int]
    latents: list[Path]
    checkpoint: str | None
    tuned: Path | None
    of_class: str | None
    truncation: float
    truncation_layers: int | None
    truncation_centres: int | None
    mix: list[str]
    space: WalkSpace
    curve: Curve
    loop: bool
    frames: str
    easing: Easing
    pace: Pace
    out: Path
    fps: float
    quality: int
    grid: tuple[int, int]
    enlarge: int
    batch: int | None
    force: bool

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: options that contradict each other, or that go with others that are not there.
        """
        if not self.seeds and not self.latents:
            raise UsageError("--seeds, --latents: neither names key frames", "For example --seeds 1,5,9")
        if self.of_class is not None and not self.seeds:
            raise UsageError("--class: it goes with --seeds, and there are none", "Leave it out.")
        if self.space == WalkSpace.z and self.curve == Curve.spline:
            raise UsageError("--curve spline: in z the way is an arc", "Leave out --space z.")
        if self.space == WalkSpace.z and self.truncation_centres is not None:
            hint = "Leave out --space z; in w only the key frames are truncated."
            raise UsageError("--truncation-centres: in z, the nearest one would change from frame to frame", hint)
        if self.pace == Pace.perceptual and (self.easing != Easing.none or "," in self.frames):
            hint = "Leave out --easing, and give one number of --frames for all."
            raise UsageError("--pace perceptual: all steps will be equal; none can be eased or set apart", hint)

"""Walks through looks: single frames while the page plays, and the video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.synthesis.latents.truncation import NO_TRUNCATION
from swincli.synthesis.output.video import check_video
from swincli.synthesis.sampling import sampling_batch
from swincli.synthesis.walk.key_frames import KeyFrames
from swincli.synthesis.walk.timing import EASINGS, frame_times
from swincli.synthesis.walk.walk_video import write_walk
from swincli.synthesis.walk.walks import CURVES, Walk, make_walk
from swincli.view.look import parse_look
from swincli.view.worker.studio import Studio

MOST_KEYS, MOST_FRAMES, MOST_FPS = 200, 36_000, 120


@dataclass(frozen=True)
class WalkSettings:
    """A walk through pictures.

    Attributes:
        keys: Texts of the key frames' looks.
        curve: A key of `CURVES`.
        loop: Whether it returns to the first one.
        frames: Frames between two key frames.
        fps: Frames per second.
        easing: A key of `EASINGS`.
        enlarge: Each pixel is drawn as so many by so many.
    """

    keys: tuple[str, ...]
    curve: str = "linear"
    loop: bool = False
    frames: int = 60
    fps: float = 30.0
    easing: str = "none"
    enlarge: int = 1

    def check(self) -> None:
        """Check what needs no model.

        Raises:
            UsageError: a value cannot be.
        """
        if not 2 <= len(self.keys) <= MOST_KEYS:
            raise UsageError(f"walk: it needs 2 to {MOST_KEYS} kept pictures, and has {len(self.keys)}")
        if self.curve not in CURVES or self.easing not in EASINGS:
            raise UsageError(f"walk: unknown curve or easing ({self.curve}, {self.easing})")
        if not self.frames >= 1 or self.frames * self.segments > MOST_FRAMES or self.frames * self.segments < 2:
            raise UsageError(f"walk: {self.frames} frames a step; a video has 2 to {MOST_FRAMES:,} frames")
        if not 1 <= self.fps <= MOST_FPS:
            raise UsageError(f"walk: {self.fps:g} frames per second; 1 to {MOST_FPS} can be")
        if not 1 <= self.enlarge <= 64:
            raise UsageError(f"walk: enlarged by {self.enlarge}; 1 to 64 can be")

    @property
    def segments(self) -> int:
        """Steps from one key frame to the next."""
        return len(self.keys) if self.loop else len(self.keys) - 1

    def times(self) -> Tensor:
        """Times of all frames, float64 `[frames]`."""
        return frame_times([self.frames] * self.segments, closed=self.loop, easing=self.easing)


class WalkPlayer:
    """Frames of a walk by number; the path is made once as long as its key frames stay."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._made: tuple[WalkSettings, Walk, Tensor] | None = None

    def code(self, settings: WalkSettings, number: int) -> Tensor:
        """The w+ of one frame, `[1, L, latent_dim]`.

        Raises:
            UsageError: the settings cannot be, or do not fit the model.
        """
        if self._made is None or self._made[0] != settings:
            settings.check()
            self._made = settings, walk_of(self.studio, settings), settings.times()
        _, walk, times = self._made
        return walk(times[number % len(times)][None])


def walk_of(studio: Studio, settings: WalkSettings) -> Walk:
    """The path through the key frames, in w+.

    Raises:
        UsageError: a key frame does not fit the model.
    """
    codes = torch.cat([studio.w_plus(parse_look(key)) for key in settings.keys]).cpu()
    keys = KeyFrames("w", codes)
    return make_walk(studio.model, keys, NO_TRUNCATION, curve=settings.curve, closed=settings.loop)


def render_walk(studio: Studio, settings: WalkSettings, out: Path, watch: Callable[[int, int], None]) -> None:
    """Write the video of a walk, as `swincli interpolate` does.

    Args:
        studio: The model.
        settings: The walk.
        out: The file, .mp4.
        watch: Called after each frame with the number of frames done and of all.

    Raises:
        SwincliError: the settings cannot be, the encoder is missing, or the file cannot be written.
    """
    settings.check()
    model, times, done = studio.model, settings.times(), 0
    side = model.recipe.model.size * settings.enlarge
    check_video(out, settings.fps, side, side, force=True)

    def advance(count: int = 1) -> None:
        nonlocal done
        done += count
        watch(done, len(times))

    walks: Sequence[Walk] = [walk_of(studio, settings)]
    batch = min(8, sampling_batch(model.recipe.model, model.device))  # so that pictures are answered in between
    write_walk(model, walks, times, out, batch=batch, fps=settings.fps, enlarge=settings.enlarge, advance=advance)

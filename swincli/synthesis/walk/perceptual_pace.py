"""Constant perceptual speed: frames at equal perceptual steps instead of equal steps in latent space.

A perceptual distance such as LPIPS grows with the square of a small step, so its square root is a length that adds up
along a path. The path is sampled at many times and the lengths between neighbours are summed. Frames are placed at
equal steps of this sum (parametrisation by arc length). Where images change abruptly, the first samples are too sparse:
a second pass samples the path at equal steps of the first measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

MEASURING_PASSES = 2
SAMPLES_PER_FRAME = 2  # at least
SAMPLES_PER_SEGMENT = 32  # at least

Features = Callable[[Tensor], list[Tensor]]
Between = Callable[[list[Tensor], list[Tensor]], Tensor]


class StepLengths:
    """Perceptual lengths of the steps of a walk, measured image by image; keeps only the features of the last images.

    Args:
        walks: Number of walks side by side; the length of a step is the mean over them.
        features: Maps images `[N, 3, H, W]` to feature maps `[N, ...]`.
        between: Maps the features of N images and of N others to distances `[N]`, which grow with the square of a step.

    Attributes:
        lengths: One per step so far.
    """

    def __init__(self, walks: int, features: Features, between: Between) -> None:
        self._walks, self._features, self._between = walks, features, between
        self._last: list[Tensor] | None = None
        self.lengths: list[float] = []

    def add(self, images: Tensor) -> None:
        """Add the images of all walks at B further times, `[B * walks, 3, H, W]`, time by time."""
        maps = self._features(images)
        if self._last is not None:
            maps = [torch.cat(pair) for pair in zip(self._last, maps, strict=True)]
        self._last = [part[-self._walks :] for part in maps]
        if len(maps[0]) > self._walks:
            apart = self._between([part[: -self._walks] for part in maps], [part[self._walks :] for part in maps])
            roots = apart.cpu().double().clamp(min=0).sqrt().view(-1, self._walks)
            self.lengths += roots.mean(dim=1).tolist()


def measuring_times(segments: int, frames: int) -> Tensor:
    """Evenly spaced times at which to measure a path, float64 `[P]`; P - 1 is a multiple of `frames`."""
    density = max(SAMPLES_PER_FRAME, -(-SAMPLES_PER_SEGMENT * segments // frames))
    return torch.linspace(0, segments, density * frames + 1, dtype=torch.float64)


def even_times(times: Tensor, lengths: Sequence[float], frames: int, *, closed: bool) -> Tensor:
    """Times of frames at equal perceptual steps, float64 `[frames]`.

    Args:
        times: Times at which the path was measured, `[P]`, from its start to its end.
        lengths: Lengths of the P - 1 steps between them.
        frames: Number of frames, at least two.
        closed: Whether the path ends at its start, which then gets no second frame.
    """
    arc_length = torch.cat([torch.zeros(1, dtype=torch.float64), torch.tensor(lengths, dtype=torch.float64).cumsum(0)])
    if not arc_length[-1]:  # no change at all: keep equal steps of time
        arc_length = times - times[0]
    steps = frames if closed else frames - 1
    wanted = torch.arange(frames, dtype=torch.float64) * (arc_length[-1] / steps)
    after = torch.searchsorted(arc_length, wanted).clamp(1, len(arc_length) - 1)
    start, length = arc_length[after - 1], arc_length[after] - arc_length[after - 1]
    share = torch.where(length > 0, (wanted - start) / length, 0.0).clamp(0, 1)
    found = torch.lerp(times[after - 1], times[after], share)
    if not closed:
        found[-1] = times[-1]
    return found


def unevenness(lengths: Sequence[float]) -> float:
    """Longest step divided by the median step; 1 for constant speed, and for a walk without any change."""
    steps = torch.tensor(lengths, dtype=torch.float64)
    median = steps.median()
    return float(steps.max() / median) if median > 0 else 1.0

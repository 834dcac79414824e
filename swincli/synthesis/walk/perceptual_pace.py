"""Constant speed to the eye: frames at equal steps of perceived change instead of equal steps in latent space.

A perceptual distance such as LPIPS grows with the square of a small step, so its root is a length that adds up along a
path. The path is looked at in many places, the lengths between neighbouring ones are summed, and frames are put where
the sum has grown by equal amounts: the curve parametrised by its perceptual length. Where images change at once, places
that are even in latent space are too few, so the path is looked at again in as many that are even by the first look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

LOOKS = 2
DENSITY = 2  # places that are looked at for every frame, at least,
PLACES = 32  # and for every segment

Features = Callable[[Tensor], list[Tensor]]
Between = Callable[[list[Tensor], list[Tensor]], Tensor]


class Strides:
    """Perceived lengths of the steps of a walk, measured as its images come; only the last ones are kept.

    Args:
        walks: Walks side by side; a step's length is the mean over them.
        features: From images `[N, 3, H, W]` to maps `[N, ...]`.
        between: From the maps of N images, and of N others, to distances `[N]`, which grow with the square of a step.
    """

    def __init__(self, walks: int, features: Features, between: Between) -> None:
        self._walks, self._features, self._between = walks, features, between
        self._last: list[Tensor] | None = None
        self.lengths: list[float] = []

    def add(self, images: Tensor) -> None:
        """Go on: images `[B * walks, 3, H, W]` of the walks at each of B further times."""
        maps = self._features(images)
        if self._last is not None:
            maps = [torch.cat(pair) for pair in zip(self._last, maps, strict=True)]
        self._last = [part[-self._walks :] for part in maps]
        if len(maps[0]) > self._walks:
            apart = self._between([part[: -self._walks] for part in maps], [part[self._walks :] for part in maps])
            roots = apart.cpu().double().clamp(min=0).sqrt().view(-1, self._walks)
            self.lengths += roots.mean(dim=1).tolist()


def measuring_times(segments: int, frames: int) -> Tensor:
    """Where a path of so many segments is looked at, float64 `[P]`, evenly from its start to its end.

    P - 1 is a multiple of the number of frames.
    """
    density = max(DENSITY, -(-PLACES * segments // frames))
    return torch.linspace(0, segments, density * frames + 1, dtype=torch.float64)


def even_times(times: Tensor, lengths: Sequence[float], frames: int, *, closed: bool) -> Tensor:
    """Times of frames at equal perceived lengths, float64 `[frames]`.

    Args:
        times: Where the path was looked at, `[P]`, from its start to its end.
        lengths: Of the P - 1 steps between them.
        frames: At least two.
        closed: Whether the end is the start again, which then has no frame of its own.
    """
    run = torch.cat([torch.zeros(1, dtype=torch.float64), torch.tensor(lengths, dtype=torch.float64).cumsum(0)])
    if not run[-1]:  # nothing changes; any times will do
        run = times - times[0]
    steps = frames if closed else frames - 1
    wanted = torch.arange(frames, dtype=torch.float64) * (run[-1] / steps)
    after = torch.searchsorted(run, wanted).clamp(1, len(run) - 1)
    start, length = run[after - 1], run[after] - run[after - 1]
    share = torch.where(length > 0, (wanted - start) / length, 0.0).clamp(0, 1)
    found = torch.lerp(times[after - 1], times[after], share)
    if not closed:
        found[-1] = times[-1]
    return found


def unevenness(lengths: Sequence[float]) -> float:
    """The longest step over the median one, 1 for a walk of constant speed; 1 too where nothing moves."""
    steps = torch.tensor(lengths, dtype=torch.float64)
    median = steps.median()
    return float(steps.max() / median) if median > 0 else 1.0

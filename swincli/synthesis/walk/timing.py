"""Frame times of a walk: frames per segment, and easing near key frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

EASINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda share: share,
    "smooth": lambda share: share**2 * (3 - 2 * share),
    "smoother": lambda share: share**3 * (10 - share * (15 - 6 * share)),
}
"""Position in a segment by share of its time, both 0 to 1. The smooth ones stop at key frames (Perlin, 1985, 2002)."""


def parse_frames(text: str, segments: int) -> list[int]:
    """Parse the number of frames per segment: "60" for all, or one each: "60,30,30".

    Raises:
        ValueError: not numbers, not one per segment, or fewer than two frames in total; the message is complete.
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not re.fullmatch(r"\d{1,7}", part) or not int(part):
            raise ValueError(f"{part!r} is not a number of frames from 1 to 9,999,999")
    if len(parts) not in (1, segments):
        raise ValueError(f"{len(parts)} numbers for {segments} segment{'s' if segments > 1 else ''}")
    frames = [int(part) for part in parts] * (segments if len(parts) == 1 else 1)
    if sum(frames) < 2:
        raise ValueError("a walk needs at least two frames")
    return frames


def frame_times(frames: Sequence[int], *, closed: bool, easing: str = "none") -> Tensor:
    """Times of all frames for the paths of `paths`, float64 `[sum(frames)]`.

    Each segment starts with its key frame. The last frame of an open path is the last key frame. A closed path ends one
    step before its first key frame.

    Args:
        frames: Number of frames of each segment.
        closed: Whether the last segment leads back to the first key frame.
        easing: A key of `EASINGS`.
    """
    shares = [torch.arange(count, dtype=torch.float64) / count for count in frames]
    if not closed:
        shares[-1] = torch.linspace(0, 1, frames[-1], dtype=torch.float64)
        shares[-1][-1] = 1.0
    return torch.cat([segment + EASINGS[easing](share) for segment, share in enumerate(shares)])

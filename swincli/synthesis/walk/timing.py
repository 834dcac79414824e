"""When along a path the frames of a walk are: a number of frames a segment, slower near key frames where eased."""

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
"""Of a segment, the share of the way for the share of the time: at rest in key frames (Perlin, 1985 and 2002)."""


def parse_frames(text: str, segments: int) -> list[int]:
    """Read how many frames each segment has: "60" for every one, or "60,30,30".

    Raises:
        ValueError: no such numbers, as many of them as there are no segments, or fewer than two frames altogether; the
            message stands alone.
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not re.fullmatch(r"\d{1,7}", part) or not int(part):
            raise ValueError(f"{part!r} is no number of frames from 1 to 9,999,999")
    if len(parts) not in (1, segments):
        raise ValueError(f"{len(parts)} numbers for {segments} segment{'s' if segments > 1 else ''}")
    frames = [int(part) for part in parts] * (segments if len(parts) == 1 else 1)
    if sum(frames) < 2:
        raise ValueError("a walk has at least two frames")
    return frames


def frame_times(frames: Sequence[int], *, closed: bool, easing: str = "none") -> Tensor:
    """The times of all frames, float64 `[sum of frames]`, as `paths` takes them.

    Every segment begins with a frame of its key frame. The last frame of an open path is the last key frame; of a
    closed one it is the last before the first comes again.

    Args:
        frames: Of each segment.
        closed: Whether the last segment leads back to the first key frame.
        easing: A key of `EASINGS`.
    """
    shares = [torch.arange(count, dtype=torch.float64) / count for count in frames]
    if not closed:
        shares[-1] = torch.linspace(0, 1, frames[-1], dtype=torch.float64)
        shares[-1][-1] = 1.0
    return torch.cat([segment + EASINGS[easing](share) for segment, share in enumerate(shares)])

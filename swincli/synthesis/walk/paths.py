"""Interpolation between key frames: linear, cubic spline, or slerp.

A path maps times, float64 `[B]`, to codes `[B, ...]`. Key frame k of K is at time k, from 0 to K - 1. A closed path
returns to key frame 0 at time K.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LatentPath = Callable[[Tensor], Tensor]
_MIN_SINE = 1e-6  # below this sine of the angle, slerp is numerically undefined (angle near 0 or pi)


def linear_path(keys: Tensor, *, closed: bool) -> LatentPath:
    """Linear interpolation between key frames `[K, ...]`."""
    ends = _ends(keys, closed)

    def at(times: Tensor) -> Tensor:
        before, share = locate(times, len(ends) - 1)
        return torch.lerp(ends[before], ends[before + 1], _broadcastable(share, ends))

    return at


def spline_path(keys: Tensor, *, closed: bool) -> LatentPath:
    """Cubic spline through key frames `[K, ...]`: periodic if closed, else natural (no curvature at both ends).

    With two key frames it is the line.
    """
    from scipy.interpolate import CubicSpline

    ends = _ends(keys, closed)
    values = ends.double().cpu().numpy()
    curve = CubicSpline(range(len(ends)), values, bc_type="periodic" if closed else "natural")

    def at(times: Tensor) -> Tensor:
        return torch.from_numpy(curve(times.double().cpu().numpy())).to(keys)

    return at


def slerp_path(keys: Tensor, *, closed: bool) -> LatentPath:
    """Spherical interpolation (`slerp`) between key frames `[K, D]`."""
    ends = _ends(keys, closed)

    def at(times: Tensor) -> Tensor:
        before, share = locate(times, len(ends) - 1)
        return slerp(ends[before], ends[before + 1], _broadcastable(share, ends))

    return at


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Spherical linear interpolation: constant speed on the arc between two vectors (Shoemake, 1985).

    A line between two z ~ N(0, 1) passes vectors that are too short for this distribution; an arc does not. Lengths are
    interpolated linearly. Opposite vectors have no unique arc and are joined by a line.

    Args:
        start: `[B, D]`.
        end: `[B, D]`.
        share: Position `[B, 1]`, from 0 (start) to 1 (end).

    Returns:
        `[B, D]`, with the dtype of `start`.
    """
    one, other, share = start.double(), end.double(), share.double()
    lengths = [vector.norm(dim=1, keepdim=True) for vector in (one, other)]
    first, second = (vector / length.clamp(min=1e-12) for vector, length in zip((one, other), lengths, strict=True))
    angle = 2 * torch.atan2((first - second).norm(dim=1, keepdim=True), (first + second).norm(dim=1, keepdim=True))
    direction = (first * torch.sin((1 - share) * angle) + second * torch.sin(share * angle)) / torch.sin(angle)
    on_arc = direction * torch.lerp(lengths[0], lengths[1], share)
    straight = torch.lerp(one, other, share)
    return torch.where(torch.sin(angle) < _MIN_SINE, straight, on_arc).to(start)


def locate(times: Tensor, segments: int) -> tuple[Tensor, Tensor]:
    """Split times `[B]` into segment indices, int64 `[B]`, and positions in the segment from 0 to 1, `[B]`."""
    before = times.floor().long().clamp(0, segments - 1)
    return before, times - before


def _ends(keys: Tensor, closed: bool) -> Tensor:
    return torch.cat([keys, keys[:1]]) if closed else keys


def _broadcastable(share: Tensor, ends: Tensor) -> Tensor:
    """Reshape `[B]` to `[B, 1, ...]`, to broadcast with codes; same dtype and device as `ends`."""
    return share.to(ends).view(-1, *[1] * (ends.ndim - 1))

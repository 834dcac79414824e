"""Paths through key frames: along lines, cubic splines, or arcs.

A path takes times, float64 `[B]`: 0 is the first of K key frames, 1 the second, and so on to K - 1, or to K, the first
one again, where it is closed. It gives the codes at these times, `[B, ...]`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Path = Callable[[Tensor], Tensor]
_STRAIGHT = 1e-6  # radians: an arc this short, or this close to half a turn, has no direction that could be computed


def line(keys: Tensor, *, closed: bool) -> Path:
    """Straight from each key frame `[K, ...]` to the next."""
    ends = _ends(keys, closed)

    def at(times: Tensor) -> Tensor:
        before, share = locate(times, len(ends) - 1)
        return torch.lerp(ends[before], ends[before + 1], _beside(share, ends))

    return at


def spline(keys: Tensor, *, closed: bool) -> Path:
    """The cubic spline through the key frames `[K, ...]`: no bend is sharp, not even, where closed, in the first one.

    An open one ends straight (a natural spline); through two key frames it is the line.
    """
    from scipy.interpolate import CubicSpline

    ends = _ends(keys, closed)
    values = ends.double().cpu().numpy()
    curve = CubicSpline(range(len(ends)), values, bc_type="periodic" if closed else "natural")

    def at(times: Tensor) -> Tensor:
        return torch.from_numpy(curve(times.double().cpu().numpy())).to(keys)

    return at


def arcs(keys: Tensor, *, closed: bool) -> Path:
    """From each key frame `[K, D]` to the next as `slerp` goes."""
    ends = _ends(keys, closed)

    def at(times: Tensor) -> Tensor:
        before, share = locate(times, len(ends) - 1)
        return slerp(ends[before], ends[before + 1], _beside(share, ends))

    return at


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Go a share of the way from one vector to another, at constant speed on the arc between them (Shoemake, 1985).

    A line between two z ~ N(0, 1) passes points that are too short to be drawn from it; an arc does not. Lengths go
    from one to the other evenly. Opposite vectors, between which there are many arcs, are joined by a line.

    Args:
        start: `[B, D]`.
        end: `[B, D]`.
        share: From 0, the start, to 1, the end, `[B, 1]`.

    Returns:
        `[B, D]`, of the type of `start`.
    """
    one, other, share = start.double(), end.double(), share.double()
    lengths = [vector.norm(dim=1, keepdim=True) for vector in (one, other)]
    first, second = (vector / length.clamp(min=1e-12) for vector, length in zip((one, other), lengths, strict=True))
    angle = 2 * torch.atan2((first - second).norm(dim=1, keepdim=True), (first + second).norm(dim=1, keepdim=True))
    turned = (first * torch.sin((1 - share) * angle) + second * torch.sin(share * angle)) / torch.sin(angle)
    on_arc = turned * torch.lerp(lengths[0], lengths[1], share)
    straight = torch.lerp(one, other, share)
    return torch.where(torch.sin(angle) < _STRAIGHT, straight, on_arc).to(start)


def locate(times: Tensor, segments: int) -> tuple[Tensor, Tensor]:
    """In which segment times lie, int64 `[B]`, and what share of it is behind them, `[B]`."""
    before = times.floor().long().clamp(0, segments - 1)
    return before, times - before


def _ends(keys: Tensor, closed: bool) -> Tensor:
    return torch.cat([keys, keys[:1]]) if closed else keys


def _beside(share: Tensor, ends: Tensor) -> Tensor:
    """`[B]` as `[B, 1, ...]` beside codes."""
    return share.to(ends).view(-1, *[1] * (ends.ndim - 1))

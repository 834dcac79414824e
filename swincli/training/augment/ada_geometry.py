"""ADA's blits and geometry: one affine map per image, exact for blits alone, else resampled at twice the resolution.

Positions are in pixels from the image's centre, x to the right and y downwards. Outside the image lies its reflection.
Resampling (Karras et al., 2020, appendix B): 2x up with the low-pass filter of the orthogonal wavelet sym6, bilinear
sampling, 2x down with the same filter. Up and then down is the identity. The filters are matrices of rows and columns,
`M X M^T`: fast at the sizes of few images, deterministic, and differentiable any number of times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.ops.bilinear import sample_bilinear
from swincli.ops.constants import cached_constant
from swincli.ops.precision import in_float32
from swincli.training.augment.ada_draws import TRANSFORMS, Chosen, Drawn, change_some, choose
from swincli.training.augment.bcr import image_numbers

WAVELET = "sym6"
TAPS = 12
REACH = TAPS // 2 - 1  # samples of the doubled resolution beyond the first and last pixel that the filter touches
SHIFT = 0.125  # blit: largest; geometry: standard deviation, of the side
SPREAD = 0.2  # standard deviation of the scales' binary logarithm


@dataclass(frozen=True)
class Geometry:
    """What blits and geometry do to some images, decided on the CPU.

    Attributes:
        blitted: The images that are blitted alone; None if there are none.
        blits: Their `inverse_maps`, `[N, 3, 3]`.
        moved: The images that are resampled; None if there are none.
        moves: Their `inverse_maps`, `[M, 3, 3]`.
        margin: `margin_for` of those.
    """

    blitted: Chosen | None
    blits: Tensor | None
    moved: Chosen | None
    moves: Tensor | None
    margin: int


def plan_geometry(drawn: Drawn, size: int) -> Geometry:
    """Which images of a side are blitted and resampled, and how."""
    moving, blitting = (_any_happens(drawn, group) for group in ("geometry", "blit"))
    blitted, moved = choose(blitting & ~moving), choose(moving)
    if blitted is None and moved is None:
        return Geometry(None, None, None, None, 0)
    maps = inverse_maps(drawn, size)
    blits, moves = (None if some is None else maps[some.positions] for some in (blitted, moved))
    return Geometry(blitted, blits, moved, moves, 0 if moves is None else margin_for(moves, size))


def geometric(images: Tensor, plan: Geometry) -> Tensor:
    """Blits and geometry of images `[B, 3, S, S]`."""
    blits, moves = plan.blits, plan.moves
    if plan.blitted is not None and blits is not None:
        images = change_some(images, plan.blitted, lambda some: blit(some, blits))
    if plan.moved is not None and moves is not None:
        images = change_some(images, plan.moved, lambda some: warp(some, moves, plan.margin))
    return images


def rotation_probability(p: float) -> float:
    """Probability of each of the two rotations, so that at least one of them has the probability `p`."""
    return 1 - math.sqrt(1 - p)


def _any_happens(drawn: Drawn, group: str) -> Tensor:
    happening = [_happens(drawn, name) for name, transform in TRANSFORMS.items() if transform.group == group]
    return torch.stack(happening).any(dim=0)


def _happens(drawn: Drawn, name: str) -> Tensor:
    rotates = name in ("rotate_before", "rotate_after")
    return drawn.happens(name, rotation_probability(drawn.probability(name)) if rotates else None)


def inverse_maps(drawn: Drawn, size: int) -> Tensor:
    """From a place in each changed image to its source in the image, float64 `[B, 3, 3]`."""
    uniform, normal = drawn.uniform, drawn.normal
    sides = (uniform("x_flip")[:, 0] * 2).floor() * 2 - 1
    turns = (uniform("rotate90")[:, 0] * 4).floor() * (math.pi / 2)
    pixels = ((uniform("integer_shift") * 2 - 1) * SHIFT * size).round()
    scale, stretch = (torch.exp2(-SPREAD * normal(name)[:, 0]) for name in ("scale", "stretch"))
    before, after = ((uniform(name)[:, 0] * 2 - 1) * math.pi for name in ("rotate_before", "rotate_after"))
    fractions = normal("fractional_shift") * SHIFT * size
    inverses = {
        "x_flip": _scaling(sides, torch.ones_like(sides)),
        "rotate90": _rotation(turns),
        "integer_shift": _translation(-pixels),
        "scale": _scaling(scale, scale),
        "rotate_before": _rotation(before),
        "stretch": _scaling(stretch, 1 / stretch),
        "rotate_after": _rotation(after),
        "fractional_shift": _translation(-fractions),
    }
    maps = torch.eye(3, dtype=torch.float64).expand(len(drawn.draws), 3, 3)
    for name, inverse in inverses.items():
        maps = torch.where(_happens(drawn, name)[:, None, None], maps @ inverse, maps)
    return maps


def _matrices(entries: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=1) for row in entries], dim=1)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrices([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def _rotation(angle: Tensor) -> Tensor:
    cosine, sine, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return _matrices([[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one]])


def _translation(by: Tensor) -> Tensor:
    zero, one = torch.zeros(len(by), dtype=by.dtype), torch.ones(len(by), dtype=by.dtype)
    return _matrices([[one, zero, by[:, 0]], [zero, one, by[:, 1]], [zero, zero, one]])


def blit(images: Tensor, maps: Tensor) -> Tensor:
    """Apply maps of pixels to pixels, without resampling.

    Args:
        images: `[B, 3, S, S]`.
        maps: `[B, 3, 3]`, of flips, quarter turns and whole shifts.
    """
    size, maps = images.shape[-1], maps.to(images.device)
    pixel = torch.arange(size, dtype=maps.dtype, device=maps.device) + 0.5 - size / 2
    x, y = _sources(maps, pixel)
    columns, rows = (reflected((axis - 0.5 + size / 2).round().long(), size) for axis in (x, y))
    image = image_numbers(len(images), device=images.device)
    return images.permute(0, 2, 3, 1)[image, rows, columns].permute(0, 3, 1, 2)


def _sources(maps: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the sources of a square of places, `[B, N, N]` each: `places` `[N]` are its columns and its rows."""
    across, down = places, places[:, None]
    x, y = (maps[:, axis, 0, None, None] * across + maps[:, axis, 1, None, None] * down for axis in (0, 1))
    return x + maps[:, 0, 2, None, None], y + maps[:, 1, 2, None, None]


def reflected(indices: Tensor, size: int) -> Tensor:
    """Indices within an axis, for those outside of it: 1 for -1, 2 for -2, and so on."""
    period = max(2 * size - 2, 1)
    folded = indices.remainder(period)
    return torch.minimum(folded, period - folded)


@in_float32
def warp(images: Tensor, maps: Tensor, margin: int) -> Tensor:
    """Apply affine maps.

    Args:
        images: `[B, 3, S, S]`.
        maps: `inverse_maps`, `[B, 3, 3]`.
        margin: Their `margin_for`.
    """
    size, maps = images.shape[-1], maps.to(images.device)
    up = upsampling(size, margin, device=images.device, dtype=images.dtype)
    down = upsampling(size, 0, device=images.device, dtype=images.dtype).T / 2  # the transposed filter
    doubled = up @ (images @ up.T)
    sampled = sample_bilinear(doubled, _grid(maps, size, margin).to(images))
    return down @ (sampled @ down.T)


def margin_for(maps: Tensor, size: int) -> int:
    """Reflected pixels that maps (on the CPU) need on a side: at most `size - 1`, in steps of an eighth of the size."""
    corner = torch.tensor([-size / 2 - REACH, size / 2 + REACH], dtype=torch.float64)
    x, y = _sources(maps, corner)
    beyond = float(torch.stack([x, y]).abs().max()) - size / 2 + REACH
    step = max(size // 8, 1)
    return max(0, min(math.ceil(beyond / step) * step, size - 1))


def _grid(maps: Tensor, size: int, margin: int) -> Tensor:
    """Where the samples of the doubled result lie in the doubled source, for `sample_bilinear`: `[B, N, N, 2]`.

    Sample j of either lies at (j - REACH + 1) / 2 pixels from the edge: sym6 puts pixel i on sample 2 i.
    """
    sample = torch.arange(2 * size + 2 * REACH, dtype=maps.dtype, device=maps.device)
    sources = torch.stack(_sources(maps, (sample - REACH + 1) / 2 - size / 2), dim=-1)
    padded = size + 2 * margin
    index = (sources + padded / 2) * 2 + REACH - 1
    return (2 * index + 1) / (2 * padded + 2 * REACH) - 1


@cached_constant
def upsampling(size: int, margin: int, *, device: torch.device | None = None) -> Tensor:
    """Reflect by `margin` and double the resolution, as a matrix `[2 (size + 2 margin) + 2 REACH, size]`, float64.

    The transpose of the one without margin, divided by 2, is its inverse.
    """
    import pywt

    taps = torch.tensor(pywt.Wavelet(WAVELET).dec_lo, dtype=torch.float64, device=device) * math.sqrt(2)
    padded = size + 2 * margin
    source = reflected(torch.arange(padded) - margin, size)
    matrix = torch.zeros(2 * padded + 2 * REACH, size, dtype=torch.float64, device=device)
    for tap, value in enumerate(taps):
        matrix.index_put_((2 * torch.arange(padded) + tap, source), value, accumulate=True)
    return matrix

"""ADA's transforms (Karras et al., NeurIPS 2020, appendix B) of images in [-1, 1], each with probability p.

Groups in their order: blit, geometry, color (the paper's bgc), filter, noise, cutout. Values are not clamped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.ops.constants import cached_constant
from swincli.ops.precision import in_float32
from swincli.recipe.objective import AugmentSection
from swincli.training.augment.ada_draws import FILTER_BANDS, Chosen, Drawn, change_some, choose
from swincli.training.augment.ada_geometry import Geometry, geometric, plan_geometry, reflected
from swincli.training.augment.bcr import cutout

FILTER_WAVELET = "sym2"
EXPECTED_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of images, in the bands from the lowest on
NOISE = 0.1  # standard deviation of the noise's standard deviation
HOLE = 0.5  # side of the cutout, of the image's

COLORS = ("brightness", "contrast", "luma_flip", "hue", "saturation")

_LUMA = torch.full((3,), 1 / math.sqrt(3), dtype=torch.float64)


@dataclass(frozen=True)
class Plan:
    """What happens to some images of side S, decided on the CPU. None stands for a group that happens to none of them.

    Attributes:
        geometry: Blits and geometry.
        colors: `color_matrices`, float64 `[B, 3, 4]`.
        filtered: The images whose frequency bands change.
        gains: `filter_gains` of those images, float64 `[F, FILTER_BANDS]`.
        noise: Noise with the strength of each image, float32 `[B, 3, S, S]`.
        hidden: Rows and columns of the cutout, bool `[B, S]` each.
    """

    geometry: Geometry
    colors: Tensor | None
    filtered: Chosen | None
    gains: Tensor | None
    noise: Tensor | None
    hidden: tuple[Tensor, Tensor] | None


def plan(draws: Tensor, p: float, size: int, section: AugmentSection) -> Plan:
    """Decide what happens to images, each transform with probability `p`.

    Args:
        draws: Their numbers from `ada_draws.draw`, `[B, K]` on the CPU.
        p: Probability of each transform, before its factor.
        size: Side of the images.
        section: The groups and the factors.
    """
    drawn = Drawn(draws, p, section)
    filtered = choose(torch.stack([drawn.happens(f"filter_{band}") for band in range(FILTER_BANDS)]).any(dim=0))
    return Plan(
        plan_geometry(drawn, size),
        color_matrices(drawn) if any(bool(drawn.happens(name).any()) for name in COLORS) else None,
        filtered,
        filter_gains(drawn)[filtered.positions] if filtered else None,
        _plan_noise(drawn, size),
        _plan_cutout(drawn, size),
    )


def change(images: Tensor, plan: Plan, section: AugmentSection) -> Tensor:  # noqa: ARG001
    """Apply a plan to its images `[B, 3, S, S]` in [-1, 1]."""
    images = geometric(images, plan.geometry)
    if plan.colors is not None:
        images = _color(images, plan.colors)
    if plan.filtered is not None and plan.gains is not None:
        gains = plan.gains
        images = change_some(images, plan.filtered, lambda some: filtered(some, gains))
    if plan.noise is not None:
        images = images + plan.noise.to(images)
    if plan.hidden is not None:
        images = cutout(images, *plan.hidden)
    return images


def color_matrices(drawn: Drawn) -> Tensor:
    """Colours of each changed image as functions of its colours, float64 `[B, 3, 4]`: a matrix and an offset."""
    count = len(drawn.draws)
    eye, luma = torch.eye(3, dtype=torch.float64), torch.outer(_LUMA, _LUMA)
    chroma = eye - luma
    v1, v2, v3 = _LUMA.tolist()
    cross = torch.tensor([[0, -v3, v2], [v3, 0, -v1], [-v2, v1, 0]], dtype=torch.float64)
    brightness = 0.2 * drawn.normal("brightness")
    contrast = torch.exp2(0.5 * drawn.normal("contrast"))[..., None]
    flips = (drawn.uniform("luma_flip") * 2).floor()[..., None]
    angle = (drawn.uniform("hue") * 2 - 1)[..., None] * math.pi
    saturation = torch.exp2(drawn.normal("saturation"))[..., None]
    factors = {
        "contrast": contrast * eye,
        "luma_flip": eye - 2 * flips * luma,
        "hue": luma + angle.cos() * chroma + angle.sin() * cross,
        "saturation": luma + saturation * chroma,
    }
    happens = {name: drawn.happens(name)[:, None, None] for name in ("brightness", *factors)}
    offset = torch.where(happens["brightness"], brightness[..., None], 0.0).expand(count, 3, 1)
    matrix = torch.cat([eye.expand(count, 3, 3), offset], dim=2)
    for name, factor in factors.items():
        matrix = torch.where(happens[name], factor @ matrix, matrix)
    return matrix


@in_float32
def _color(images: Tensor, matrices: Tensor) -> Tensor:
    matrix = matrices.to(images)[..., None, None]  # [B, 3, 4, 1, 1]
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return matrix[:, :, 0] * red + matrix[:, :, 1] * green + matrix[:, :, 2] * blue + matrix[:, :, 3]


def filter_gains(drawn: Drawn) -> Tensor:
    """Gain of each frequency band, float64 `[B, FILTER_BANDS]`; the expected power of an image stays the same."""
    gains = torch.ones(len(drawn.draws), FILTER_BANDS, dtype=torch.float64)
    power = torch.tensor(EXPECTED_POWER, dtype=torch.float64)
    for band in range(FILTER_BANDS):
        name = f"filter_{band}"
        own = torch.ones_like(gains)
        own[:, band] = torch.where(drawn.happens(name), torch.exp2(drawn.normal(name)[:, 0]), 1.0)
        gains = gains * own / (own.square() @ power).sqrt()[:, None]
    return gains


@in_float32
def filtered(images: Tensor, gains: Tensor) -> Tensor:
    """Amplify frequency bands, along columns and along rows: `[B, 3, S, S]` by `[B, FILTER_BANDS]`."""
    bands = band_filters(images.shape[-1], device=images.device, dtype=images.dtype)
    matrices = torch.einsum("bf,fij->bij", gains.to(images), bands)[:, None]
    return matrices @ images @ matrices.transpose(2, 3)


@cached_constant
def band_filters(size: int, *, device: torch.device | None = None) -> Tensor:
    """The filters of all bands, from the lowest on, as matrices along one axis, float64 `[FILTER_BANDS, size, size]`.

    Together they are the identity. Outside the image lies its reflection.
    """
    bank = _band_taps()
    reach = bank.shape[1] // 2
    rows = torch.arange(size)
    matrices = torch.zeros(FILTER_BANDS, size, size, dtype=torch.float64)
    for tap in range(bank.shape[1]):
        columns = reflected(rows + tap - reach, size)
        matrices.index_put_(
            (torch.arange(FILTER_BANDS)[:, None], rows, columns), bank[:, tap, None].expand(-1, size), accumulate=True
        )
    return matrices.to(device or torch.device("cpu"))


def _band_taps() -> Tensor:
    """Zero-phase filters of all bands, of one odd length: `[FILTER_BANDS, taps]`.

    Each level splits what is left into a high-pass and a low-pass part, which add up to it: `1 = H(z) + L(z)`. The next
    level does so at half the resolution.
    """
    import pywt

    taps = torch.tensor(pywt.Wavelet(FILTER_WAVELET).dec_lo, dtype=torch.float64)
    low = _convolve(taps, taps.flip(0)) / 2
    high = -low
    high[len(low) // 2] += 1
    rest, bands = torch.ones(1, dtype=torch.float64), []
    for level in range(FILTER_BANDS - 1):
        bands.append(_convolve(rest, _stretched(high, 2**level)))
        rest = _convolve(rest, _stretched(low, 2**level))
    bands.append(rest)
    longest = len(rest)
    sides = [(longest - len(band)) // 2 for band in bands]
    padded = [torch.nn.functional.pad(band, (side, side)) for band, side in zip(bands, sides, strict=True)]
    return torch.stack(padded[::-1])


def _convolve(first: Tensor, second: Tensor) -> Tensor:
    return torch.nn.functional.conv1d(first[None, None], second.flip(0)[None, None], padding=len(second) - 1)[0, 0]


def _stretched(taps: Tensor, factor: int) -> Tensor:
    """Taps with zeros between them."""
    out = torch.zeros((len(taps) - 1) * factor + 1, dtype=taps.dtype)
    out[::factor] = taps
    return out


def _plan_noise(drawn: Drawn, size: int) -> Tensor | None:
    happens = drawn.happens("noise")
    if not bool(happens.any()):
        return None
    strength = torch.where(happens, NOISE * drawn.normal("noise")[:, 0].abs(), 0.0).float()
    return strength[:, None, None, None] * drawn.noise(size)


def _plan_cutout(drawn: Drawn, size: int) -> tuple[Tensor, Tensor] | None:
    happens = drawn.happens("cutout")
    if not bool(happens.any()):
        return None
    pixel = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    columns, rows = ((pixel - drawn.uniform("cutout")[..., None]).abs() < HOLE / 2).unbind(dim=1)  # [B, S] each
    return rows & happens[:, None], columns

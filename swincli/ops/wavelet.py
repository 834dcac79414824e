"""The two-dimensional discrete wavelet transform and its inverse, with PyWavelets' filter banks.

Borders are periodic (PyWavelets' mode "periodization"), so the transform halves every side exactly and the inverse
reconstructs exactly, for every orthogonal and biorthogonal wavelet.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.errors import UsageError
from swincli.ops.constants import constant
from swincli.ops.precision import in_float32

Banks = tuple[tuple[float, ...], tuple[float, ...]]

BANDS = ("ll", "lh", "hl", "hh")


def filter_banks(name: str, inverse: bool = False) -> Banks:
    """A wavelet's low-pass and high-pass taps, as a correlation applies them.

    Args:
        name: PyWavelets' name, such as "haar".
        inverse: The taps of `inverse_dwt` instead of those of `dwt`.

    Raises:
        UsageError: PyWavelets knows no discrete wavelet of that name.
    """
    import pywt

    if name not in pywt.wavelist(kind="discrete"):
        raise UsageError(f"model.wavelet: no such wavelet as {name!r}", "Take haar, db2, sym4, coif1 or bior2.2.")
    wavelet = pywt.Wavelet(name)
    low, high = (wavelet.rec_lo, wavelet.rec_hi) if inverse else (wavelet.dec_lo[::-1], wavelet.dec_hi[::-1])
    return tuple(low), tuple(high)


@constant
def wavelet_filters(banks: Banks, *, device: torch.device | None = None) -> Tensor:
    """Filters `[4, F, F]` (float64 unless `dtype` says otherwise) of the bands ll, lh, hl, hh from `filter_banks`.

    lh is high-pass along the height (top minus bottom, with Haar), hl along the width.
    """
    low, high = (torch.tensor(bank, dtype=torch.float64, device=device) for bank in banks)
    return torch.stack([torch.outer(rows, columns) for columns in (low, high) for rows in (low, high)])


@in_float32
def dwt(x: Tensor, filters: Tensor) -> Tensor:
    """One level of the transform: `[B, C, H, W] -> [B, 4C, H/2, W/2]`, ordered [ll, lh, hl, hh] x C.

    Args:
        x: Images of even height and width.
        filters: `wavelet_filters(filter_banks(name))` in the dtype and on the device of `x`.
    """
    channels, length = x.shape[1], filters.shape[-1]
    before, after = length // 2 - 1, length // 2 - 1
    if length > 2:
        x = F.pad(x, (before, after, before, after), mode="circular")
    eye = torch.eye(channels, dtype=x.dtype, device=x.device)
    weight = torch.einsum("kij,cd->kcdij", filters, eye).reshape(4 * channels, channels, length, length)
    return F.conv2d(x, weight, stride=2)


def inverse_dwt(bands: Tensor, filters: Tensor) -> Tensor:
    """The inverse of `dwt`: `[B, 4C, H, W] -> [B, C, 2H, 2W]`.

    Args:
        bands: What `dwt` returned.
        filters: `wavelet_filters(filter_banks(name, inverse=True))`.
    """
    batch, channels, height, width = bands.shape[0], bands.shape[1] // 4, bands.shape[2], bands.shape[3]
    length = filters.shape[-1]
    flat = bands.view(batch, 4, channels, height, width).transpose(1, 2).reshape(-1, 4, height, width)
    spread = F.conv_transpose2d(flat, filters.unsqueeze(1), stride=2)
    shift = length // 2 - 1
    folded = _fold(_fold(spread, 2 * height, shift, dim=2), 2 * width, shift, dim=3)
    return folded.reshape(batch, channels, 2 * height, 2 * width)


def _fold(x: Tensor, period: int, shift: int, dim: int) -> Tensor:
    """Wrap what reaches beyond a period back onto its start, then turn the start by `shift`."""
    out = x.narrow(dim, 0, period)
    for start in range(period, x.shape[dim], period):
        rest = x.narrow(dim, start, min(period, x.shape[dim] - start))
        padding = [0, 0] * (x.dim() - 1 - dim) + [0, period - rest.shape[dim]]
        out = out + F.pad(rest, padding)
    return out.roll(-shift, dims=dim) if shift else out

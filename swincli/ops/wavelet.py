"""The two-dimensional discrete wavelet transform (DWT), with PyWavelets' filter banks.

Borders are periodic (PyWavelets' mode "periodization"). So the transform halves every side exactly, and it can be
inverted exactly for every orthogonal and biorthogonal wavelet.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.errors import UsageError
from swincli.ops.constants import cached_constant
from swincli.ops.precision import in_float32

Banks = tuple[tuple[float, ...], tuple[float, ...]]

BANDS = ("ll", "lh", "hl", "hh")


def filter_banks(name: str) -> Banks:
    """Low-pass and high-pass taps of a wavelet, in the order in which a correlation applies them.

    Args:
        name: PyWavelets' name, such as "haar".

    Raises:
        UsageError: PyWavelets has no discrete wavelet of that name.
    """
    import pywt

    if name not in pywt.wavelist(kind="discrete"):
        raise UsageError(f"model.wavelet: unknown wavelet {name!r}", "Use haar, db2, sym4, coif1 or bior2.2.")
    wavelet = pywt.Wavelet(name)
    return tuple(wavelet.dec_lo[::-1]), tuple(wavelet.dec_hi[::-1])


@cached_constant
def wavelet_filters(banks: Banks, *, device: torch.device | None = None) -> Tensor:
    """Filters `[4, F, F]` of the bands ll, lh, hl, hh, from `filter_banks`; float64 unless `dtype` is given.

    lh is high-pass along the height (with Haar: top minus bottom), hl along the width.
    """
    low, high = (torch.tensor(bank, dtype=torch.float64, device=device) for bank in banks)
    return torch.stack([torch.outer(rows, columns) for columns in (low, high) for rows in (low, high)])


@in_float32
def dwt(x: Tensor, filters: Tensor) -> Tensor:
    """One level of the transform: `[B, C, H, W] -> [B, 4C, H/2, W/2]`, in the order [ll, lh, hl, hh] x C.

    Args:
        x: Images; height and width are even.
        filters: `wavelet_filters(filter_banks(name))`, with the dtype and device of `x`.
    """
    return dwt_by_weight(x, _weight_of(filters, x.shape[1]))


@in_float32
def dwt_by_weight(x: Tensor, weight: Tensor) -> Tensor:
    """`dwt` with the weight from `dwt_weight`, with the dtype and device of `x`."""
    border = weight.shape[-1] // 2 - 1
    if border:
        x = F.pad(x, (border, border, border, border), mode="circular")
    return F.conv2d(x, weight, stride=2)


@cached_constant
def dwt_weight(banks: Banks, channels: int, *, device: torch.device | None = None) -> Tensor:
    """The transform as the weight of a convolution, `[4C, C, F, F]`; float64 unless `dtype` is given."""
    return _weight_of(wavelet_filters(banks, device=device), channels)


def _weight_of(filters: Tensor, channels: int) -> Tensor:
    length, eye = filters.shape[-1], torch.eye(channels, dtype=filters.dtype, device=filters.device)
    return torch.einsum("kij,cd->kcdij", filters, eye).reshape(4 * channels, channels, length, length)

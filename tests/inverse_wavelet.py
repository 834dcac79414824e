"""The inverse wavelet transform, which the networks do not need."""

from __future__ import annotations

import pywt
import torch.nn.functional as F
from torch import Tensor

from swincli.ops.wavelet import wavelet_filters


def inverse_dwt(bands: Tensor, name: str) -> Tensor:
    """The inverse of `swincli.ops.wavelet.dwt` in float64: `[B, 4C, H, W] -> [B, C, 2H, 2W]`.

    Args:
        bands: The result of `dwt`.
        name: PyWavelets' name of the wavelet.
    """
    wavelet = pywt.Wavelet(name)
    filters = wavelet_filters((tuple(wavelet.rec_lo), tuple(wavelet.rec_hi)))
    batch, channels, height, width = bands.shape[0], bands.shape[1] // 4, bands.shape[2], bands.shape[3]
    length = filters.shape[-1]
    flat = bands.view(batch, 4, channels, height, width).transpose(1, 2).reshape(-1, 4, height, width)
    spread = F.conv_transpose2d(flat, filters.unsqueeze(1), stride=2)
    shift = length // 2 - 1
    folded = _fold(_fold(spread, 2 * height, shift, dim=2), 2 * width, shift, dim=3)
    return folded.reshape(batch, channels, 2 * height, 2 * width)


def _fold(x: Tensor, period: int, shift: int, dim: int) -> Tensor:
    """Add everything beyond one period to the start (periodic border), then roll the start by `shift`."""
    out = x.narrow(dim, 0, period)
    for start in range(period, x.shape[dim], period):
        rest = x.narrow(dim, start, min(period, x.shape[dim] - start))
        padding = [0, 0] * (x.dim() - 1 - dim) + [0, period - rest.shape[dim]]
        out = out + F.pad(rest, padding)
    return out.roll(-shift, dims=dim) if shift else out

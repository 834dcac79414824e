"""The buffers that the original release stores with its weights. All follow from the shape of the network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from swincli.model.blocks.attention import relative_index
from swincli.ops.fir import TAPS
from swincli.ops.windows import edge_masks

MASKED = -100.0


def position_index(side: int) -> Tensor:
    """`relative_position_index` of a window: int64 `[side², side²]`."""
    return relative_index(side).clone()


def shift_mask(resolution: int, side: int) -> Tensor:
    """`attn_mask2`, which is added to the logits of shifted windows: float32 `[(resolution / side)², side², side²]`."""
    windows, tokens = resolution // side, side * side
    hidden = torch.zeros(windows, windows, tokens, tokens, dtype=torch.bool)
    rows, columns = edge_masks(side)
    hidden[-1] |= rows
    hidden[:, -1] |= columns
    return hidden.flatten(0, 1) * MASKED + 0.0  # no -0.0


def fir_kernel(gain: float) -> Tensor:
    """`kernel` of the [1, 3, 3, 1] FIR filter, which sums to `gain`: float32 `[4, 4]`."""
    taps = torch.tensor(TAPS)
    return torch.outer(taps, taps) * (gain / 64)


def haar_filter(band: str, sign: float) -> Tensor:
    """Filter `ll`, `lh`, `hl` or `hh`, float32 `[2, 2]`. The first letter is for the columns: low-pass or high-pass."""
    half = 1 / math.sqrt(2)
    passes = {"l": torch.tensor([half, half]), "h": torch.tensor([-half, half])}
    return torch.outer(passes[band[1]], passes[band[0]]) * sign


def placeholder() -> Tensor:
    """`_float_tensor`, which is uninitialised memory in the release: float32 `[1]`."""
    return torch.zeros(1)

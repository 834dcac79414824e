"""The buffers that the original release stores beside its weights, all of which follow from the network's shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from swincli.model.blocks.attention import relative_index
from swincli.ops.windows import edge_masks

MASKED = -100.0


def position_index(side: int) -> Tensor:
    """`relative_position_index` of a window: int64 `[side², side²]`."""
    return relative_index(side).clone()


def shift_mask(resolution: int, side: int) -> Tensor:
    """`attn_mask2`, added to the logits of shifted windows: float32 `[(resolution / side)², side², side²]`."""
    windows, tokens = resolution // side, side * side
    hidden = torch.zeros(windows, windows, tokens, tokens, dtype=torch.bool)
    rows, columns = edge_masks(side)
    hidden[-1] |= rows
    hidden[:, -1] |= columns
    return hidden.flatten(0, 1) * MASKED + 0.0  # no -0.0


def fir_kernel(gain: float) -> Tensor:
    """`kernel` of the [1, 3, 3, 1] filter, summing to `gain`: float32 `[4, 4]`."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) * (gain / 64)


def haar_filter(band: str, sign: float) -> Tensor:
    """One of `ll`, `lh`, `hl`, `hh`: float32 `[2, 2]`; the first letter is the pass of the columns, l low or h high."""
    half = 1 / math.sqrt(2)
    passes = {"l": torch.tensor([half, half]), "h": torch.tensor([-half, half])}
    return torch.outer(passes[band[1]], passes[band[0]]) * sign


def placeholder() -> Tensor:
    """`_float_tensor`, which the release stores uninitialised: float32 `[1]`."""
    return torch.zeros(1)

"""The start of depthwise kernels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def centred_kernel(channels: int, size: int) -> Tensor:
    """A kernel for every channel, `[C, 1, size, size]`: 1 in the centre, plus a truncated normal of std 0.02.

    The release's rule for convolutions, Xavier with gain 0.02, would start a depthwise 7x7 at std 0.003: a branch that
    learns nothing for long.
    """
    kernel = nn.init.trunc_normal_(torch.empty(channels, 1, size, size), std=0.02)
    kernel[:, :, size // 2, size // 2] += 1
    return kernel

"""Where images come from: a z for every seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def z_from_seeds(seeds: Sequence[int], latent_dim: int) -> Tensor:
    """One z for every seed, `[N, latent_dim]` ~ N(0, 1) on the CPU.

    Every seed has a generator of its own, so its z does not depend on its neighbours, the batch or the device.
    """
    rows = [torch.randn(latent_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty(0, latent_dim)

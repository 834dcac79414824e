"""Gradient checkpointing: activations that the backward pass computes again instead of keeping (Chen et al., 2016)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def is_due(x: Tensor, side: int | None) -> bool:
    """Whether work on a map of this size, `[B, H, W, C]` or `[B, C, H, W]`, is to be computed again.

    Args:
        x: The map; its third axis is a side in either layout.
        side: Side from which on that is wanted; None for never.
    """
    return side is not None and x.shape[2] >= side and torch.is_grad_enabled()


def checkpointed(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """`function(*tensors)`, of which only the tensors are kept; it must be a pure function of them and of weights."""
    out: Tensor = checkpoint(function, *tensors, use_reentrant=False, preserve_rng_state=False)
    return out

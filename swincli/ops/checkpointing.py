"""Gradient checkpointing: activations that the backward pass computes again instead of keeping (Chen et al., 2016)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from swincli.ops import cpu_tiles


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


def without_keeping(x: Tensor, remake: Callable[[], Tensor]) -> contextlib.AbstractContextManager[object]:
    """Within it, operations that would keep a large x for the backward pass keep nothing; there it is made again.

    That is for what is quickly made of something that is kept anyway, such as a normalised map. On the CPU only: GPUs
    have `checkpointed`.

    Args:
        x: What is not to be kept; it must outlive the context.
        remake: Makes it again, the same to the last bit.
    """
    if not cpu_tiles.is_due_with_graph(x):
        return contextlib.nullcontext()
    address, count = x.data_ptr(), x.numel()

    def pack(kept: Tensor) -> Tensor | torch.Size:
        same = kept.data_ptr() == address and kept.numel() == count and kept.is_contiguous()
        return kept.shape if same else kept

    def unpack(kept: Tensor | torch.Size) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        with torch.no_grad():
            return remake().reshape(kept)

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)

"""Gradient checkpointing: recompute activations in the backward pass instead of saving them (Chen et al., 2016)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from swincli.ops import cpu_tiles


def use_checkpointing(x: Tensor, side: int | None) -> bool:
    """Whether to checkpoint operations on this map.

    Args:
        x: The map, `[B, H, W, C]` or `[B, C, H, W]`; its third axis is a side in both layouts.
        side: The smallest side to checkpoint; None for never.
    """
    return side is not None and x.shape[2] >= side and torch.is_grad_enabled()


def checkpointed(function: Callable[..., Tensor], *given: Any) -> Tensor:
    """`function(*given)`; only the arguments, tensors and None, are saved for the backward pass.

    `function` must be a pure function of its arguments and of weights.
    """
    out: Tensor = checkpoint(function, *given, use_reentrant=False, preserve_rng_state=False)
    return out


def recompute_saved(x: Tensor, remake: Callable[[], Tensor]) -> contextlib.AbstractContextManager[object]:
    """Inside this context, operations do not save a large `x` for backward; `remake()` recomputes it there.

    Use it for tensors that are cheap to recompute from something that is saved anyway, such as a normalised map.
    `cpu_tiles.save_less` says which are large. Under autocast, give it what the operations save: x in autocast's dtype.

    Args:
        x: The tensor that is not saved. It must exist until the context ends.
        remake: Returns the same tensor again, equal bit for bit.
    """
    if not cpu_tiles.save_less(x):
        return contextlib.nullcontext()
    memory, count = x.untyped_storage()._cdata, x.numel()  # fake and meta tensors have no address

    def pack(saved: Tensor) -> Tensor | torch.Size:
        same = saved.untyped_storage()._cdata == memory and saved.numel() == count and saved.is_contiguous()
        return saved.shape if same else saved

    def unpack(saved: Tensor | torch.Size) -> Tensor:
        if isinstance(saved, Tensor):
            return saved
        with torch.no_grad():
            return remake().reshape(saved)

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)

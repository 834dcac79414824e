"""Sending a tree of tensors from the main process to all ranks: tensor by tensor, without pickling their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from swincli.system.device_copy import map_tensors
from swincli.system.distributed import Processes


@dataclass(frozen=True)
class _Shape:
    """What the other ranks must know of a tensor before they receive it."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    on_device: bool


def broadcast(tree: Any, device: torch.device, processes: Processes) -> Any:
    """The main process's tree on every rank; there its own tensors, on the others new ones.

    Tensors of a GPU go by the GPUs' own backend (NCCL), CPU tensors by gloo; no more than one is held twice.

    Args:
        tree: Tensors and plain values in tuples, lists and dicts; only the main process's counts.
        device: Device of this rank.
        processes: The ranks.
    """
    if processes.world_size == 1:
        return tree
    frame = processes.from_main(lambda: _frame(tree))

    def send(value: Tensor) -> Tensor:
        dist.broadcast(value.detach().contiguous(), src=0)
        return value

    if processes.is_main:
        return map_tensors(tree, send)
    return _received(frame, device)


def _frame(tree: Any) -> Any:
    """The tree with `_Shape`s in place of its tensors."""
    shape: Any = lambda value: _Shape(tuple(value.shape), value.dtype, value.device.type != "cpu")  # noqa: E731
    return map_tensors(tree, shape)


def _received(frame: Any, device: torch.device) -> Any:
    """The tree of a frame, with tensors as they come from the main process."""
    if isinstance(frame, _Shape):
        value = torch.empty(frame.shape, dtype=frame.dtype, device=device if frame.on_device else "cpu")
        dist.broadcast(value, src=0)
        return value
    if isinstance(frame, dict):
        return {name: _received(value, device) for name, value in frame.items()}
    if isinstance(frame, tuple | list):
        return type(frame)(_received(value, device) for value in frame)
    return frame

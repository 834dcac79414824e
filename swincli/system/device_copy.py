"""Copies between host and device that nothing waits for: many tensors as one buffer, and results read later."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

ALIGNED = 16  # bytes; every tensor of a buffer starts at a multiple

T = TypeVar("T")


def send(tree: T, device: torch.device) -> T:
    """The tree with all CPU tensors on the device.

    On CUDA they go as one pinned buffer in one asynchronous copy; they are views of its copy. On MPS, which has no
    float64, such tensors become float32.

    Args:
        tree: Tensors in tuples, lists, dicts and dataclasses; everything else stays as it is.
        device: Where the tensors go.
    """
    if device.type == "cpu":
        return tree
    if device.type == "mps":
        sent: T = map_tensors(tree, lambda value: (value.float() if value.dtype == torch.float64 else value).to(device))
        return sent
    return send_packed(tree, device)


def send_packed(tree: T, device: torch.device) -> T:
    """`send` as one buffer."""
    tensors = [value for value in _tensors(tree) if value.device.type == "cpu"]
    starts, size = [], 0
    for value in tensors:
        starts.append(size)
        size += -(-value.numel() * value.element_size() // ALIGNED) * ALIGNED
    # PyTorch's allocator does not reuse pinned memory before its asynchronous copy has ended
    host = torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
    for start, value in zip(starts, tensors, strict=True):
        _part(host, start, value).copy_(value)
    there = host.to(device, non_blocking=True)
    parts = iter([_part(there, start, value) for start, value in zip(starts, tensors, strict=True)])
    sent: T = map_tensors(tree, lambda value: next(parts) if value.device.type == "cpu" else value)
    return sent


def _part(buffer: Tensor, start: int, like: Tensor) -> Tensor:
    """The part of a buffer of bytes that holds a tensor."""
    end = start + like.numel() * like.element_size()
    return buffer[start:end].view(like.dtype).view(like.shape)


def map_tensors(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The tree with its tensors changed, each once and in a fixed order."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {name: map_tensors(value, change) for name, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(map_tensors(value, change) for value in tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        values = {each.name: map_tensors(getattr(tree, each.name), change) for each in dataclasses.fields(tree)}
        return type(tree)(**values)
    return tree


def _tensors(tree: Any) -> Iterator[Tensor]:
    found: list[Tensor] = []

    def note(value: Tensor) -> Tensor:
        found.append(value)
        return value

    map_tensors(tree, note)
    yield from found


class HostCopy:
    """A tensor's values on the host. On CUDA the copy runs behind the work that computes them; `get` waits for it.

    Args:
        values: A tensor that is not changed before `get`.
    """

    def __init__(self, values: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._values = values
        if values.device.type == "cuda":
            self._values = torch.empty_like(values, device="cpu", pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(values.device))

    def get(self) -> Tensor:
        """The values, on the CPU."""
        if self._event is not None:
            self._event.synchronize()
            self._event = None
        return self._values.cpu()

"""Small fixed tensors, built once for every device and dtype."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

Build = Callable[..., Tensor]


def constant(build: Build) -> Build:
    """Cache a function of plain arguments that builds a tensor; the result takes `device` and `dtype` besides.

    The tensor is built on the CPU and as an ordinary one, also within `torch.device(...)` or `torch.inference_mode()`:
    what is kept must not depend on who asked first.
    """

    @functools.lru_cache(maxsize=64)
    def cached(arguments: tuple[Hashable, ...], device: torch.device, dtype: torch.dtype | None) -> Tensor:
        with torch.inference_mode(False), torch.no_grad(), torch.device("cpu"):
            tensor = build(*arguments)
            return tensor.to(dtype or tensor.dtype).to(device)

    @functools.wraps(build)
    def call(*arguments: Hashable, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Tensor:
        return cached(arguments, device or torch.device("cpu"), dtype)

    return call

"""Small fixed tensors, built once for every device and dtype."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

Build = Callable[..., Tensor]


def constant(build: Build) -> Build:
    """Cache a function of plain arguments that builds a tensor on a `device`; the result takes `dtype` besides.

    The tensor is built on the CPU and as an ordinary one, also within `torch.inference_mode()`: what is kept must not
    depend on who asked first. Both of the result's own arguments may be left out.
    """

    @functools.lru_cache(maxsize=64)
    def cached(arguments: tuple[Hashable, ...], device: torch.device, dtype: torch.dtype | None) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            tensor = build(*arguments, device=torch.device("cpu"))
            return tensor.to(dtype or tensor.dtype).to(device)

    @functools.wraps(build)
    def call(*arguments: Hashable, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Tensor:
        device = device or torch.device("cpu")
        if torch.compiler.is_compiling():  # the compiler sees through a cache, and folds what is constant itself
            tensor = build(*arguments, device=device)
            return tensor.to(dtype or tensor.dtype)
        return cached(arguments, device, dtype)

    return call

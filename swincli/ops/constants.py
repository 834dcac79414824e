"""A cache for small constant tensors: each is built once per device and dtype."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

Build = Callable[..., Tensor]


def cached_constant(build: Build) -> Build:
    """Cache the tensor that `build` returns, per arguments, device and dtype.

    `build` takes hashable arguments and a `device`. The decorated function also takes `device` and `dtype`; both are
    optional, and the default is the CPU and the dtype that `build` chose.

    The tensor is always built on the CPU, outside inference mode and outside modes such as fake tensors. So the cached
    tensor does not depend on the first caller. It stays for good, because a CUDA graph may read it.
    """

    @functools.cache
    def cached(arguments: tuple[Hashable, ...], device: torch.device, dtype: torch.dtype | None) -> Tensor:
        with torch.inference_mode(False), torch.no_grad(), _disable_current_modes():
            tensor = build(*arguments, device=torch.device("cpu"))
            return tensor.to(dtype or tensor.dtype).to(device)

    @functools.wraps(build)
    def call(*arguments: Hashable, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Tensor:
        device = device or torch.device("cpu")
        # The compiler folds constants itself, and cannot trace the cache. An export takes the cached tensor as it is.
        if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
            tensor = build(*arguments, device=device)
            return tensor.to(dtype or tensor.dtype)
        return cached(arguments, device, dtype)

    return call

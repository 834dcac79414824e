"""Build networks on the meta device: names and shapes of weights without values, to compare or to load weights into."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


@contextlib.contextmanager
def meta_init() -> Iterator[None]:
    """Modules built inside this context are on PyTorch's meta device: their weights take no memory.

    Initialisation is skipped too. PyTorch's own shape inference for it would import the compiler, which takes two
    seconds.
    """
    with torch.device("meta"), _NoValues():
        yield


class _NoValues(TorchFunctionMode):
    """Skips operations that only set values: random draws, normalisation of a vector, and in-place operations."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.randn:
            return torch.empty(*args, **(kwargs or {}))
        if func is F.normalize:
            return args[0]
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__") and args and isinstance(args[0], torch.Tensor):
            return args[0]
        return func(*args, **(kwargs or {}))

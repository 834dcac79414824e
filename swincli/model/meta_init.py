"""Networks without the values of their weights: to know names and shapes, or to be given weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


@contextlib.contextmanager
def meta_init() -> Iterator[None]:
    """Modules built within it have weights that take no memory (on PyTorch's meta device).

    Nothing is drawn or computed for them. Left to itself PyTorch would work out the shapes of what is done to them in
    Python, for which it imports its compiler: two seconds.
    """
    with torch.device("meta"), _NoValues():
        yield


class _NoValues(TorchFunctionMode):
    """Leaves out what would only change values: drawing them, and operations in place."""

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

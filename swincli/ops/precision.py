"""Which parts of a network stay in float32 while autocast runs its matrix products in bfloat16."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

P = ParamSpec("P")
T = TypeVar("T")


def in_float32(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function or method on tensors run outside of autocast, with bfloat16 and float16 arguments as float32.

    Without autocast it runs as it is, in whichever precision it is given.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        kind = _device_type(args)
        if kind == "meta" or not torch.is_autocast_enabled(kind):
            return function(*args, **kwargs)
        with torch.autocast(kind, enabled=False):
            return function(*map(_widened, args), **{name: _widened(value) for name, value in kwargs.items()})

    return run


def _device_type(args: tuple[object, ...]) -> str:
    """Kind of device of the first tensor, or of the weights of the module whose method this is."""
    for value in args:
        if isinstance(value, Tensor):
            return value.device.type
    owner = args[0] if args else None
    return next(owner.parameters()).device.type if isinstance(owner, nn.Module) else "cpu"


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16):
        return value.float()
    return value

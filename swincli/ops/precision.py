"""Float32 under autocast and TF32: a decorator for functions that stay in float32, and a context for exact float32."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

P = ParamSpec("P")
T = TypeVar("T")


def in_float32(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function or method on tensors: under autocast it runs with autocast off and in float32.

    bfloat16 and float16 arguments become float32. Without autocast the function runs in the precision of its arguments.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        kind = _device_type(args)
        if kind == "meta" or not torch.is_autocast_enabled(kind):
            return function(*args, **kwargs)
        with torch.autocast(kind, enabled=False):
            return function(*map(_widened, args), **{name: _widened(value) for name, value in kwargs.items()})

    return run


def as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in the dtype that autocast takes for matrix products on their device; unchanged without autocast."""
    kind = tensors[0].device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return tensors
    dtype = torch.get_autocast_dtype(kind)
    return tuple(value.to(dtype) if value.dtype == torch.float32 else value for value in tensors)


def _device_type(args: tuple[object, ...]) -> str:
    """Device type of the first tensor. Without one: of the parameters of the module whose method this is."""
    for value in args:
        if isinstance(value, Tensor):
            return value.device.type
    owner = args[0] if args else None
    return next(owner.parameters()).device.type if isinstance(owner, nn.Module) else "cpu"


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16):
        return value.float()
    return value


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Turn autocast and TF32 off inside this context, and restore the settings after it.

    Training may have turned TF32 on, and CUDA's convolutions use it by default.
    """
    backends: Any = torch.backends
    switches = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.matmul)
    before = [switch.fp32_precision for switch in switches]
    old = _old_settings()
    torch.set_float32_matmul_precision("highest")
    backends.cudnn.allow_tf32 = False
    backends.cudnn.conv.fp32_precision = backends.cudnn.rnn.fp32_precision = "ieee"
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        if old:
            torch.set_float32_matmul_precision(old[0])
            backends.cudnn.allow_tf32 = old[1]
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def _old_settings() -> tuple[str, bool] | None:
    """Matmul precision and cuDNN's TF32 by PyTorch's old switches; None if the caller has set the new ones alone."""
    try:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return None

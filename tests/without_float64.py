"""A device without float64, such as Apple's MPS, imitated on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from swincli.system.device_copy import map_tensors

T = TypeVar("T")
HOST = (Tensor.numpy, Tensor.tolist, Tensor.item)


class WithoutFloat64(TorchFunctionMode):
    """Within it, parameters and what is computed from them count as tensors of the device, until `.cpu()`.

    A float64 tensor of the device is the TypeError that MPS raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def sent(self, tree: T, device: torch.device) -> T:  # noqa: ARG002
        """`device_copy.send` to the device."""

        def there(value: Tensor) -> Tensor:
            copied = (value.float() if value.dtype == torch.float64 else value).clone()
            copied.on_device = True  # type: ignore[attr-defined]
            return copied

        moved: T = map_tensors(tree, there)
        return moved

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [*_tensors(args), *_tensors(tuple((kwargs or {}).values()))]
        if func is Tensor.cpu:
            return result.view_as(result)  # on a CPU it is the same object, which may be marked
        if func in HOST or not any(_is_on_device(value) for value in inputs):
            return result
        for value in _tensors((result,)):
            if value.dtype == torch.float64:
                raise TypeError(f"Cannot convert a tensor of the device to float64 ({func})")
            value.on_device = True  # type: ignore[attr-defined]
            self.seen += 1
        return result


def _is_on_device(value: Tensor) -> bool:
    return isinstance(value, nn.Parameter) or getattr(value, "on_device", False)


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)

"""Count what a GPU would be asked to do: operations on the meta device, copies from the host, waits of the host.

The meta device stands for the GPU. Its operations compute shapes and no values, so the real code runs in milliseconds.
What the host reads from the device is replaced: numbers by 1, tensors by zeros.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")
PACKAGE = str(Path(__file__).parents[1] / "swincli")

FREE = {  # they allocate or give another view, without work on the device
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted",
    "detach", "detach_", "alias", "lift", "lift_fresh", "_unsafe_view", "_reshape_alias", "set_", "is_pinned",
    "record_stream", "sym_size", "sym_stride", "sym_numel", "sym_storage_offset", "is_same_size",
}  # fmt: skip
_WAITING = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal", "is_nonzero"}
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
_FROM_PYTHON = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)


@dataclass
class Counts:
    """What was counted.

    Attributes:
        launches: Operations on the device that are no views, by name. A fused or foreach operation is one.
        blocking: Copies from the host that wait until the device has done everything before them, by place in swincli.
        queued: Copies from the host with `non_blocking`, by place. They wait too, unless their source is pinned.
        waits: Reads of the device by the host, by place.
    """

    launches: Counter[str] = field(default_factory=Counter)
    blocking: Counter[str] = field(default_factory=Counter)
    queued: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def totals(self) -> dict[str, int]:
        """The sum of each count."""
        return {
            "launches": self.launches.total(),
            "blocking_copies": self.blocking.total(),
            "queued_copies": self.queued.total(),
            "host_waits": self.waits.total(),
        }

    def places(self) -> dict[tuple[str, str], int]:
        """What makes the host wait, by kind ("copy" or "read") and place."""
        kinds = (("copy", self.blocking), ("read", self.waits))
        return {(kind, where): count for kind, counts in kinds for where, count in counts.items()}


class Parts:
    """Counts by part of the counted work; the part "rest" is everything outside `part`."""

    def __init__(self) -> None:
        self.counts = {"rest": Counts()}
        self.now = self.counts["rest"]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what the block does as the part `name`."""
        before, self.now = self.now, self.counts.setdefault(name, Counts())
        try:
            yield
        finally:
            self.now = before


class _Dispatched(TorchDispatchMode):
    """Counts what reaches the dispatcher."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        if name == "_local_scalar_dense" and _on_device(args[0]):
            self._parts.now.waits[place()] += 1
            return True if args[0].dtype == torch.bool else 1.0 if args[0].is_floating_point() else 1
        if name == "_to_copy" and _on_device(args[0]) and kwargs.get("device") == torch.device("cpu"):
            self._parts.now.waits[place()] += 1
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        out = func(*args, **kwargs)
        self._note(name, func, args, kwargs, out)
        return out

    def _note(self, name: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        if not any(map(_on_device, _tensors((out, args, kwargs)))):
            return
        if name in ("_to_copy", "copy_") and (source := args[0] if name == "_to_copy" else args[1]).device != META:
            counts = self._parts.now
            later = kwargs.get("non_blocking", False) or (name == "copy_" and len(args) > 2 and args[2])
            (counts.queued if later else counts.blocking)[place()] += source.device.type == "cpu"
            return
        if name in _INDEXING:  # indices that lie on the host are copied by the operation
            self._parts.now.blocking[place()] += sum(not _on_device(index) for index in _tensors(args[1:]))
        if name in _WAITING:
            self._parts.now.waits[place()] += 1
        if name not in FREE and not func.is_view:
            self._parts.now.launches[name] += 1


class _FromPython(TorchFunctionMode):
    """Counts tensors that are made on the device from numbers of Python: a blocking copy each."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in _FROM_PYTHON and _on_device(out) and not any(map(_on_device, _tensors(args[-1:]))):
            self._parts.now.blocking[place()] += 1
        return out


@contextmanager
def counting() -> Iterator[Parts]:
    """Count everything that the block does with the meta device. Other threads are not counted."""
    parts = Parts()
    with _FromPython(parts), _Dispatched(parts):
        yield parts


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """In the block, the meta device takes the foreach and fused kernels that CUDA takes, that of attention too."""
    devices = [*torch.utils._foreach_utils._get_foreach_kernels_supported_devices(), "meta"]
    with (
        mock.patch("torch.utils._foreach_utils._get_foreach_kernels_supported_devices", return_value=devices),
        mock.patch("torch.optim.adam._device_dtype_check_for_fused", return_value=None),
        mock.patch("swincli.ops.fused_attention.scaled_dot_product", efficient_attention),
    ):
        yield


def efficient_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """What `scaled_dot_product` runs on CUDA, called by its name: PyTorch does not choose it for the meta device."""
    bias = None if bias is None else bias.expand(len(q), -1, -1, -1)
    out: Tensor = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, bias, True, scale=scale)[0]
    return out


def place() -> str:
    """The line of swincli that is running, as `file:function`."""
    frame: FrameType | None = sys._getframe(1)
    while frame and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename[len(PACKAGE) + 1 :]}:{frame.f_code.co_name}" if frame else "elsewhere"


def _on_device(value: object) -> bool:
    return isinstance(value, Tensor) and value.device.type == "meta"


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, Mapping):
        yield from _tensors(list(values.values()))
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _tensors(value)

"""Launches of a compiled step: kernels that PyTorch's compiler makes of its graphs, and operations outside them.

The networks run on fake tensors of the CPU that take a GPU's path. Each graph is then said to be on a GPU with the
properties of `CARD`, and inductor lowers it up to its scheduler, which decides what is fused. No code is written, so
neither Triton nor a card is needed. A node of the scheduler is a kernel of Triton, or an operation that is called
(products, convolutions, attention) and counts as one, as in `dispatch_counts`. What only allocates is free.

What differs from a card: autograd and the partition into forward and backward see CPU tensors, and kernels that
inductor would choose by timing them are not tried. Neither changes what is fused with today's default settings.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from compile_counts import fresh_compiler, run_compiled
from dispatch_counts import FREE, efficient_attention
from functorch.compile import make_boxed_func
from kept_for_backward import gpu_path
from torch._inductor import compile_fx as inductor
from torch._inductor.debug import DebugContext
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.fx_passes import reinplace
from torch._inductor.graph import GraphLowering
from torch._inductor.ir import MultiOutput
from torch._inductor.runtime.hints import DeviceProperties
from torch._inductor.scheduler import BaseSchedulerNode, ExternKernelSchedulerNode, NopKernelSchedulerNode
from torch._inductor.virtualized import V
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from torch.utils._python_dispatch import _disable_current_modes

from swincli.recipe import Recipe

CUDA = torch.device("cuda", 0)
CARD = DeviceProperties(
    type="cuda",
    index=0,
    multi_processor_count=132,
    cc=90,
    major=9,
    regs_per_multiprocessor=65536,
    max_threads_per_multi_processor=2048,
    max_threads_per_block=1024,
    warp_size=32,
)
"""An H100. Its number of multiprocessors decides which reductions are split into two kernels."""


LIBRARY = {"mv", "dot", "mm", "bmm", "addmm", "baddbmm", "convolution", "convolution_backward"}
"""Operations outside graphs that no compiler fuses with others."""


@dataclass
class Fused:
    """Launches of the part that runs.

    Attributes:
        kernels: Of graphs, by phase.
        eager: Operations outside graphs, by phase.
        library: Those of both that no compiler fuses: products, convolutions, attention and their gradients, by phase.
        phase: Name of the running phase; empty while nothing is counted.
        inside: Whether a graph or an operation runs, in which nothing more is counted.
    """

    kernels: Counter[str] = field(default_factory=Counter)
    eager: Counter[str] = field(default_factory=Counter)
    library: Counter[str] = field(default_factory=Counter)
    phase: str = ""
    inside: bool = False

    def backend(self, module: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        """A backend of torch.compile: inductor up to its scheduler."""
        compiled: Callable[..., Any] = inductor.compile_fx(
            module, inputs, inner_compile=self._compile, decompositions=gpu_decompositions()
        )
        return compiled

    def _compile(self, module: torch.fx.GraphModule, inputs: Sequence[Any], **_: Any) -> Callable[..., Any]:
        """The compiler of one graph: counts its kernels at every call, and runs it operation by operation."""
        kernels, library = scheduled_kernels(module, inputs)

        def call(*arguments: Any) -> Any:
            self.kernels[self.phase] += kernels
            self.library[self.phase] += library
            with self.uncounted():
                return module.forward(*arguments)

        boxed: Callable[..., Any] = make_boxed_func(call)
        return boxed

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """In the block, operations are parts of something that is counted."""
        before, self.inside = self.inside, True
        try:
            yield
        finally:
            self.inside = before


class _CountingMode(FakeTensorMode):
    """Fake tensors whose operations outside graphs are counted. A mode of its own would switch the compiler off."""

    def __init__(self, fused: Fused) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self._fused = fused

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        fused = self._fused
        is_work = func.namespace == "aten" and func.overloadpacket.__name__ not in FREE and not func.is_view
        fused.eager[fused.phase] += is_work and not fused.inside
        fused.library[fused.phase] += not fused.inside and func.overloadpacket.__name__ in LIBRARY
        with fused.uncounted():
            return super().__torch_dispatch__(func, types, args, kwargs or {})


def gpu_decompositions() -> dict[Any, Callable[..., Any]]:
    """Inductor's decompositions without those of products, which it makes for CPUs only."""
    aten = torch.ops.aten
    products = {aten.mm.default, aten.addmm.default, aten.bmm.default}
    return {operation: way for operation, way in select_decomp_table().items() if operation not in products}


def scheduled_kernels(module: torch.fx.GraphModule, inputs: Sequence[Any]) -> tuple[int, int]:
    """Launches that inductor's scheduler makes of a graph on `CARD`, and the calls of libraries among them.

    The steps are those of its own compilation.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        placed = [_placed(value) for value in inputs]
    with _disable_current_modes(), torch.no_grad(), V.set_debug_handler(DebugContext()):
        graph = _on_cuda(module)
        inductor.view_to_reshape(graph)
        FakeTensorProp(graph, mode=mode).propagate_dont_convert_inputs(*placed)
        inductor._recursive_record_original_output_strides(graph)
        with V.set_fake_mode(mode), mock.patch.object(torch.Tensor, "copy_", _copy_unless_on_cuda):
            inductor._recursive_post_grad_passes(graph)
            lowering = GraphLowering(graph, example_inputs=placed)
            with V.set_graph_handler(lowering), V.set_extern_kernel_nodes([]):
                lowering.run(*placed)
                lowering._update_scheduler()
                nodes = [node for node in lowering.scheduler.nodes if _is_launch(node)]
                return len(nodes), sum(isinstance(node, ExternKernelSchedulerNode) for node in nodes)


def _is_launch(node: BaseSchedulerNode) -> bool:
    """Whether a node does more than to allocate, or to pick one result of an operation with several."""
    return not isinstance(node, NopKernelSchedulerNode) and not isinstance(node.node, MultiOutput)


def _placed(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=CUDA)


def _on_cuda(module: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """A copy of a graph whose operations make their results on CUDA. Its constants are real, with other values."""
    moved = torch.fx.GraphModule(module, copy.deepcopy(module.graph))
    for node in moved.graph.nodes:
        if node.op == "get_attr" and isinstance(value := getattr(module, node.target), torch.Tensor):
            setattr(moved, node.target, torch.zeros(value.shape, dtype=value.dtype))
        node.args, node.kwargs = torch.fx.node.map_aggregate((node.args, node.kwargs), _cuda_for_cpu)
    moved.recompile()
    return moved


def _cuda_for_cpu(value: Any) -> Any:
    return CUDA if isinstance(value, torch.device) and value.type == "cpu" else value


_call_function = reinplace.graph_call_function
_copy = torch.Tensor.copy_


def _copy_unless_on_cuda(into: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`copy_`. A PyTorch without CUDA cannot copy even fake tensors there."""
    return into if into.device.type == "cuda" else _copy(into, *args, **kwargs)


def _call_without_copy(graph: torch.fx.Graph, function: Any, *args: Any, **kwargs: Any) -> torch.fx.Node:
    """Inductor's way to put an operation into a graph; as `_copy_unless_on_cuda`."""
    if function is not torch.ops.aten.copy_.default:
        return _call_function(graph, function, *args, **kwargs)
    node = graph.call_function(function, args, kwargs)
    node.meta["val"] = args[0].meta["val"]
    return node


@contextmanager
def made_up_card() -> Iterator[None]:
    """In the block, inductor believes that there are Triton and a card with the properties of `CARD`."""
    sizes = {"total_memory": 80 * 2**30, "L2_cache_size": 50 * 2**20}
    properties = SimpleNamespace(**CARD._asdict(), **sizes, minor=0, name="H100", gcnArchName="")
    with ExitStack() as stack:
        for target, value in (
            ("torch._inductor.scheduler.has_triton", lambda *_: True),
            ("torch._inductor.decomposition.is_gpu", lambda _: True),
            ("torch.cuda.get_device_properties", lambda *_: properties),
            ("torch.cuda.current_device", lambda: 0),
            ("torch._inductor.fx_passes.reinplace.graph_call_function", _call_without_copy),
            ("torch._inductor.runtime.hints.DeviceProperties.create", lambda _: CARD),
        ):
            stack.enter_context(mock.patch(target, value))
        yield


@contextmanager
def cuda_way() -> Iterator[None]:
    """In the block, fake tensors of the CPU take the kernels that CUDA takes."""
    with (
        gpu_path(),
        mock.patch("swincli.ops.fused_attention.scaled_dot_product", efficient_attention),
        mock.patch("swincli.model.blocks.kernels.compute_together", return_value=True),
        mock.patch("torch.nn.utils.clip_grad._has_foreach_support", return_value=True),
    ):
        yield


def count_fused(recipe: Recipe, phases: tuple[str, ...] = ("D", "G")) -> dict[str, dict[str, int]]:
    """Launches of phases, compiled, of their graphs and outside them. R1 is not compiled.

    The phases run once before, while they are compiled.
    """
    fused = Fused()
    with fresh_compiler(), _CountingMode(fused), cuda_way(), made_up_card():
        for name, run in run_compiled(recipe, fused.backend, phases):
            for fused.phase in ("", name):
                run()
            fused.phase = ""
    return {
        name: {
            "launches": fused.kernels[name] + fused.eager[name],
            "of_graphs": fused.kernels[name],
            "outside_graphs": fused.eager[name],
            "library_calls": fused.library[name],
        }
        for name in phases
    }

"""How the networks run: precision, channels-last, recompute, `torch.compile`, and DDP over processes."""

from __future__ import annotations

import contextlib
import inspect
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from swincli.errors import ResourceError
from swincli.model.blocks.layers import Conv
from swincli.model.blocks.upsample import Upsample
from swincli.model.discriminators.wavelet import TrunkBlock, WaveletDiscriminator
from swincli.model.generator import Block, Generator
from swincli.recipe.schema import RunSection
from swincli.system.cache import COMPILER_CACHE, compiled_code_folder
from swincli.system.distributed import Processes
from swincli.system.runtime import choose_precision
from swincli.training.step.cuda_graphs import CudaRecorder, Recorder

# Buffers are functions of the weights, so all ranks have the same ones. PyTorch 2.13 renamed the argument.
_SYNC_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)

GRAPHS_OF_A_PART = 8
"""Graphs allowed for each compiled part: with and without gradients of maps or weights, recomputed, by precision."""

_COMPILED: dict[type[nn.Module], str] = {TrunkBlock: "halve", WaveletDiscriminator: "coefficients"}
"""Methods of D's modules that are pure functions of maps and weights."""

Context = Callable[[], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class Engine:
    """How losses call the networks on this machine.

    Attributes:
        processes: The ranks that share the batch.
        precision: Data type of matrix products.
        compiled: Whether the networks are compiled.
        recorder: Captures phases as CUDA graphs; None to run them as they are.
    """

    processes: Processes = field(default_factory=Processes)
    precision: torch.dtype = torch.float32
    compiled: bool = False
    recorder: Recorder | None = None

    def wrap_ddp(self, network: nn.Module, parameters: list[nn.Parameter]) -> nn.Module:
        """Wrap a network in DDP: its backward leaves the mean gradient of all ranks in each rank.

        Args:
            network: The network, not wrapped.
            parameters: Parameters to train; every backward must give each of them a gradient.

        Returns:
            The wrapped network; with one process, the network itself.
        """
        if self.processes.world_size == 1:
            return network
        for parameter in parameters:  # DDP ignores parameters that need no gradient when it wraps the network
            parameter.requires_grad_(True)
        device = parameters[0].device
        wrapped = DistributedDataParallel(
            network,
            device_ids=[device] if device.type == "cuda" else None,
            gradient_as_bucket_view=True,  # no copy from gradients to buckets and back
            **{_SYNC_BUFFERS: False},  # type: ignore[arg-type]
        )
        for parameter in parameters:
            parameter.requires_grad_(False)
        return wrapped

    def no_sync(self, network: nn.Module) -> Context:
        """A factory of contexts in which backward of a network from `wrap_ddp` does not all-reduce gradients."""
        return network.no_sync if isinstance(network, DistributedDataParallel) else contextlib.nullcontext


def start_engine(
    run: RunSection, generator: Generator, discriminator: nn.Module, device: torch.device, processes: Processes
) -> Engine:
    """Set up the networks for training, as the recipe's [run] section says.

    Raises:
        ResourceError: this machine does not support it.
    """
    if run.cuda_graphs and processes.world_size > 1:
        raise ResourceError("run.cuda_graphs: works with one process alone", "Set run.cuda_graphs=false.")
    if processes.world_size > 1:  # about one-row parameters, whose strides do not matter; all others are contiguous
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    generator.recompute_from = run.recompute_from
    discriminator.recompute_from = run.recompute_from  # type: ignore[assignment]
    for module in discriminator.modules():
        if isinstance(module, Conv):
            module.channels_last = run.channels_last
    if run.compile:
        keep_compiled_code()
        compile_networks(generator, discriminator)
    recorder = CudaRecorder(device) if run.cuda_graphs and device.type == "cuda" else None
    return Engine(processes, choose_precision(run.precision, device), run.compile, recorder)


def keep_compiled_code() -> None:
    """Let the compiler keep its code in swincli's cache, unless the user has chosen a folder; the next run reads it."""
    folder = compiled_code_folder()
    if folder is not None:
        os.environ[COMPILER_CACHE] = str(folder)


def compile_networks(
    generator: Generator, discriminator: nn.Module, backend: str | Callable[..., Any] = "inductor"
) -> None:
    """Mark parts of the networks for compilation at their first forward; modules and parameter names stay the same.

    The parts are the mapping, blocks and upsamplings of G, and of D its trunk blocks and wavelet coefficients. A graph
    is one part at one shape: it is small, has static shapes, and serves all parts like it. D's weights are computed
    outside. Each forward moves spectral norm's vectors, and compiled code would recompute the weights in backward from
    vectors that have changed since. Without CUDA graphs: D's parts run several times before one backward pass.

    Raises:
        ResourceError: there is no compiler for this Python or platform.
    """
    warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")  # the compiler reads it
    settings: dict[str, Any] = {"backend": backend, "dynamic": False}
    parts = [module for module in generator.modules() if isinstance(module, Block | Upsample)]
    try:
        for part in parts:
            part.compile(**settings)
        for owner, name in compiled_methods(generator, discriminator):
            setattr(owner, name, torch.compile(getattr(owner, name), **settings))
    except RuntimeError as error:
        raise ResourceError(f"run.compile: {error}", "Set run.compile=false.") from error
    _allow_graphs(GRAPHS_OF_A_PART * (len(parts) + 1))


def explain_compiler(error: BaseException) -> None:
    """Raise a ResourceError with the compiler's own words if that is where an error of a step comes from."""
    if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return
    lines = [line for line in str(error).splitlines() if line.strip() and not line.endswith("raised:")]
    reason = lines[0].strip() if lines else type(error).__name__
    raise ResourceError(f"run.compile: compiling failed: {reason}", "Set run.compile=false.") from error


def compiled_methods(generator: Generator, discriminator: nn.Module) -> list[tuple[nn.Module, str]]:
    """Methods that are compiled, as (module, name); those of D get their weights as arguments."""
    methods: list[tuple[nn.Module, str]] = [(generator, "map")] if isinstance(generator, Generator) else []
    for module in discriminator.modules():
        methods += [(module, name) for kind, name in _COMPILED.items() if isinstance(module, kind)]
    return methods


def _allow_graphs(count: int) -> None:
    """Raise the number of graphs of one function, at which the compiler gives it up and runs it eagerly for good."""
    import torch._dynamo

    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, count)
    config.accumulated_recompile_limit = max(config.accumulated_recompile_limit, count)

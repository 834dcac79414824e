"""How the networks run: precision, channels-last, recompute, `torch.compile`, and DDP over processes."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from swincli.errors import ResourceError
from swincli.model.blocks.layers import Conv
from swincli.model.discriminators.wavelet import TrunkBlock
from swincli.model.generator import Generator
from swincli.recipe.schema import RunSection
from swincli.system.distributed import Processes
from swincli.system.runtime import choose_precision

# Buffers are functions of the weights, so all ranks have the same ones. PyTorch 2.13 renamed the argument.
_SYNC_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)

Context = Callable[[], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class Engine:
    """How losses call the networks on this machine.

    Attributes:
        processes: The ranks that share the batch.
        precision: Data type of matrix products.
        compiled: Whether the networks are compiled.
    """

    processes: Processes = field(default_factory=Processes)
    precision: torch.dtype = torch.float32
    compiled: bool = False

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
    if processes.world_size > 1:  # about one-row parameters, whose strides do not matter; all others are contiguous
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    generator.recompute_from = run.recompute_from
    discriminator.recompute_from = run.recompute_from  # type: ignore[assignment]
    for module in discriminator.modules():
        if isinstance(module, Conv):
            module.channels_last = run.channels_last
    if run.compile:
        compile_networks(generator, discriminator)
    return Engine(processes, choose_precision(run.precision, device), run.compile)


def compile_networks(generator: Generator, discriminator: nn.Module, backend: str = "inductor") -> None:
    """Mark the networks for compilation at their first forward; modules and parameter names stay the same.

    G is compiled as a whole. Of D only the blocks are compiled, without the computation of their weights: each forward
    updates spectral norm's vectors, and compiled code would recompute the weights in backward from vectors that have
    changed since.

    Raises:
        ResourceError: there is no compiler for this Python or platform.
    """
    warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")  # the compiler reads it
    try:
        generator.compile(backend=backend)
        for module in discriminator.modules():
            if isinstance(module, TrunkBlock):
                module.halve = torch.compile(module.halve, backend=backend)  # type: ignore[method-assign]
    except RuntimeError as error:
        raise ResourceError(f"run.compile: {error}", "Set run.compile=false.") from error

"""How the networks run on a machine: their precision, compiled or not, and in how many processes."""

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
from swincli.model.discriminators.wavelet import TrunkBlock
from swincli.model.generator import Generator
from swincli.recipe.schema import RunSection
from swincli.system.distributed import Processes
from swincli.system.runtime import choose_precision

# Buffers are functions of the weights, the same everywhere; torch 2.13 has renamed the switch.
_SYNC_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)

Context = Callable[[], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class Engine:
    """What stands between the losses and the networks.

    Attributes:
        processes: Who shares the batch.
        precision: What matrix products are computed in.
        compiled: Whether the networks are compiled.
    """

    processes: Processes = field(default_factory=Processes)
    precision: torch.dtype = torch.float32
    compiled: bool = False

    def trained(self, network: nn.Module, parameters: list[nn.Parameter]) -> nn.Module:
        """A network whose backward leaves the mean gradient of all processes in each of them.

        Args:
            network: The network itself.
            parameters: Those that are trained; they must all get a gradient in every backward.
        """
        if self.processes.world_size == 1:
            return network
        for parameter in parameters:  # what needs no gradient while it is wrapped is never exchanged
            parameter.requires_grad_(True)
        device = parameters[0].device
        wrapped = DistributedDataParallel(
            network,
            device_ids=[device] if device.type == "cuda" else None,
            **{_SYNC_BUFFERS: False},  # type: ignore[arg-type]
        )
        for parameter in parameters:
            parameter.requires_grad_(False)
        return wrapped

    def without_exchange(self, network: nn.Module) -> Context:
        """Makes contexts in which the backward of what `trained` returned keeps gradients to its process."""
        return network.no_sync if isinstance(network, DistributedDataParallel) else contextlib.nullcontext


def start_engine(
    run: RunSection, generator: Generator, discriminator: nn.Module, device: torch.device, processes: Processes
) -> Engine:
    """Set up networks for training as a recipe's [run] section asks for.

    Raises:
        ResourceError: this machine cannot do what it asks for.
    """
    if processes.world_size > 1:  # of vectors with one row, for which it makes no difference
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    generator.recompute_from = run.recompute_from
    discriminator.recompute_from = run.recompute_from  # type: ignore[assignment]
    if run.channels_last:
        discriminator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if run.compile:
        compile_networks(generator, discriminator)
    return Engine(processes, choose_precision(run.precision, device), run.compile)


def compile_networks(generator: Generator, discriminator: nn.Module, backend: str = "inductor") -> None:
    """Let networks be compiled when they first run; they stay the same modules, with the same names of weights.

    G is compiled as a whole, and D's blocks without the making of their weights: the vectors of spectral norm move with
    every forward, and compiled code would make them anew, from vectors that have moved on, in the backward pass.

    Raises:
        ResourceError: there is no compiler for this Python or platform.
    """
    warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")  # the compiler looks at it
    try:
        generator.compile(backend=backend)
        for module in discriminator.modules():
            if isinstance(module, TrunkBlock):
                module.halve = torch.compile(module.halve, backend=backend)  # type: ignore[method-assign]
    except RuntimeError as error:
        raise ResourceError(f"run.compile: {error}", "Set run.compile=false.") from error

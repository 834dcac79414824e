"""Count what torch.compile would be given: graphs, graph breaks, dynamic shapes, recompilations that it gives up.

The tensors are fake ones of the CPU, and the backend runs the graphs as they are. So only tracing takes time.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch._dynamo
from counted_steps import empty_networks
from kept_for_backward import gpu_path
from torch._subclasses.fake_tensor import FakeTensorMode

from swincli.data.store.manifest import CHANNELS
from swincli.recipe import Recipe
from swincli.training.losses.batch import Batch
from swincli.training.step.engine import Engine, compile_networks
from swincli.training.step.optimizers import make_optimizers
from swincli.training.step.phases import make_phases

_GIVEN_UP = "recompile_limit"  # in dynamo's warning; the function then runs eagerly for good


@dataclass
class Compiled:
    """What was compiled in two steps.

    Attributes:
        graphs: Graphs given to the backend.
        operations: Operations in them, together.
        dynamic: Graphs with symbolic sizes, which get slower kernels.
        breaks: Places where dynamo left a graph.
        skipped: Functions that dynamo gave up, because they were compiled too often.
    """

    graphs: int = 0
    operations: int = 0
    dynamic: int = 0
    breaks: int = 0
    skipped: int = 0

    def backend(self, module: torch.fx.GraphModule, _: list[Any]) -> Callable[..., Any]:
        """A backend of torch.compile that counts."""
        nodes = list(module.graph.nodes)
        inputs = [node.meta.get("example_value") for node in nodes if node.op == "placeholder"]
        self.graphs += 1
        self.operations += sum(node.op.startswith("call_") for node in nodes)
        self.dynamic += any(isinstance(value, torch.SymInt) for value in inputs)
        forward: Callable[..., Any] = module.forward
        return forward


class _Warnings(logging.Handler):
    """Counts the warnings in which dynamo gives up."""

    def __init__(self, counted: Compiled) -> None:
        super().__init__(logging.WARNING)
        self._counted = counted

    def emit(self, record: logging.LogRecord) -> None:
        self._counted.skipped += _GIVEN_UP in record.getMessage()


def count_compiled(recipe: Recipe, phases: tuple[str, ...] = ("D", "R1", "G")) -> dict[str, int]:
    """What the phases give to the compiler, each of them twice, as in training."""
    counted = Compiled()
    with fresh_compiler(counted), FakeTensorMode(allow_non_fake_inputs=True), gpu_path():
        for _, run in 2 * run_compiled(recipe, counted.backend, phases):
            run()
        counted.breaks = sum(torch._dynamo.utils.counters["graph_break"].values())
    return asdict(counted)


def run_compiled(
    recipe: Recipe, backend: Callable[..., Any], phases: tuple[str, ...]
) -> list[tuple[str, Callable[[], object]]]:
    """Networks of fake tensors, compiled by a backend: names of phases, and functions that run them."""
    generator, discriminator = empty_networks(recipe, torch.device("cpu"))
    for network in (generator, discriminator):
        network.requires_grad_(False)
    compile_networks(generator, discriminator, backend)  # type: ignore[arg-type]
    optimizers = make_optimizers(generator, discriminator, recipe)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["fused"], group["foreach"] = True, False
    all_phases = make_phases(generator, discriminator, *optimizers, recipe, Engine(compiled=True))
    model, batch = recipe.model, recipe.train.batch
    images, latents = torch.zeros(batch, CHANNELS, model.size, model.size), torch.zeros(batch, model.latent_dim)
    batches = [Batch(images, latents, latents)]
    return [(phase.name, functools.partial(phase.run, batches)) for phase in all_phases if phase.name in phases]


@contextmanager
def fresh_compiler(counted: Compiled | None = None) -> Iterator[None]:
    """In the block, torch.compile knows nothing of earlier functions, and what it gives up is counted."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    handler, log = _Warnings(counted or Compiled()), logging.getLogger("torch._dynamo")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        torch._dynamo.reset()

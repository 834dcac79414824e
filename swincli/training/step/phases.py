"""The phases of a step as data: which loss trains which network, with which optimiser, how often."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from swincli.recipe import Recipe
from swincli.training.augment.pipe import Augmentation
from swincli.training.losses.batch import Batch
from swincli.training.losses.losses import Losses, Scalars
from swincli.training.losses.memory import Memory
from swincli.training.losses.networks import Networks
from swincli.training.losses.phases import Setting
from swincli.training.step.cuda_graphs import GraphedPhase, graph_key
from swincli.training.step.engine import Engine
from swincli.training.step.resting import Rest, no_rest, rest_of


@dataclass(frozen=True)
class Phase:
    """Forward and backward over all micro-batches, then one optimiser step.

    Attributes:
        name: Name in reports and errors: "D", "R1" (with R2), "G" or "path".
        parameters: Parameters to train.
        optimizer: Their optimiser.
        interval: The phase runs in every step whose number is divisible by this.
        loss: Forward and backward of one micro-batch; returns scalars to report.
        clip: Largest norm of the gradient; 0 for no clipping.
        norm_key: Name under which the gradient norm is reported; empty for not at all.
        power_iteration_buffers: Buffers that each forward updates (spectral norm's vectors). Every micro-batch starts
            from the same values.
        no_sync: Makes the context for all micro-batches but the last: gradients are accumulated without all-reduce.
        rest: Says which parameters the optimiser leaves alone.
        graphed: Runs the phase as a CUDA graph; None for as it is.
    """

    name: str
    parameters: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    interval: int
    loss: Callable[[Batch], Scalars]
    clip: float = 0.0
    norm_key: str = ""
    power_iteration_buffers: list[Tensor] = field(default_factory=list)
    no_sync: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    rest: Rest = no_rest
    graphed: GraphedPhase | None = None

    def run(self, micro_batches: Sequence[Batch]) -> Scalars:
        """Train on the micro-batches of one step.

        The micro-batches have equal sizes, so the mean of their gradients is the gradient of the whole batch.

        Returns:
            The scalars, averaged over micro-batches, and the gradient norm before clipping. The next run may overwrite
            them.
        """
        return self._train(micro_batches) if self.graphed is None else self.graphed.run(self._train, micro_batches)

    def _train(self, micro_batches: Sequence[Batch]) -> Scalars:
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        buffers = self.power_iteration_buffers
        start = [buffer.clone() for buffer in buffers] if len(micro_batches) > 1 else []
        collected = []
        for number, batch in enumerate(micro_batches, start=1):
            for buffer, value in zip(buffers, start, strict=False):
                buffer.copy_(value)
            with self.no_sync() if number < len(micro_batches) else contextlib.nullcontext():
                collected.append(self.loss(batch))
        norm = self._step(len(micro_batches), micro_batches[0].images_seen)
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        return _means(collected) | ({self.norm_key: norm} if self.norm_key else {})

    def _step(self, micro_batches: int, images_seen: int) -> Tensor:
        for parameter in self.parameters:
            if parameter.grad is None:  # Adam must count this step for it too
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if micro_batches > 1:
            torch._foreach_mul_(gradients, 1.0 / micro_batches)
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.clip:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        self.rest(images_seen)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm


def _means(collected: list[Scalars]) -> Scalars:
    """Scalars averaged over micro-batches."""
    if len(collected) == 1:
        return collected[0]
    return {name: torch.stack([each[name] for each in collected]).mean() for name in collected[0]}


def make_phases(
    generator: nn.Module,
    discriminator: nn.Module,
    g_optimizer: torch.optim.Optimizer,
    d_optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    engine: Engine | None = None,
    memory: Memory | None = None,
) -> list[Phase]:
    """The phases of a step in order: D, R1 and R2 (lazy), G, path length (lazy).

    Args:
        generator, discriminator: The networks, not wrapped.
        g_optimizer, d_optimizer: Their optimisers; the parameters of an optimiser are the ones that are trained.
        recipe: The experiment.
        engine: Precision, compilation and DDP; by default float32, eager, one process.
        memory: What losses remember; by default nothing.
    """
    engine = engine or Engine()
    g_parameters, d_parameters = (optimizer.param_groups[0]["params"] for optimizer in (g_optimizer, d_optimizer))
    g, d = engine.wrap_ddp(generator, g_parameters), engine.wrap_ddp(discriminator, d_parameters)
    for_d = _losses(generator, d, recipe, engine, memory)
    for_g = _losses(g, discriminator, recipe, engine, memory)
    loss, clip = recipe.loss, recipe.train.clip
    buffers, d_sync, g_sync = list(discriminator.buffers()), engine.no_sync(d), engine.no_sync(g)
    rest, r1_rest = (rest_of(recipe, discriminator, d_optimizer, penalties=penalties) for penalties in (False, True))
    phases = [Phase("D", d_parameters, d_optimizer, 1, for_d.d_loss, clip, "grad/d", buffers, d_sync, rest)]
    if loss.has_penalty_phase:
        every, penalties = loss.r1_interval, for_d.d_penalties
        phases.append(
            Phase("R1", d_parameters, d_optimizer, every, penalties, 0.0, "grad/r1", buffers, d_sync, r1_rest)
        )
    phases.append(Phase("G", g_parameters, g_optimizer, 1, for_g.g_loss, 0.0, "grad/g", buffers, g_sync))
    if loss.path_length:
        path, interval = for_g.g_path_length, loss.path_length_interval
        phases.append(Phase("path", g_parameters, g_optimizer, interval, path, 0.0, "grad/path", buffers, g_sync))
    if engine.recorder is None:
        return phases
    both = (generator, discriminator)
    graphed = [
        GraphedPhase(engine.recorder, phase.optimizer, graph_key(recipe, both, phase.optimizer)) for phase in phases
    ]
    return [replace(phase, graphed=each) for phase, each in zip(phases, graphed, strict=True)]


def _losses(g: nn.Module, d: nn.Module, recipe: Recipe, engine: Engine, memory: Memory | None) -> Losses:
    return Losses(make_setting(g, d, recipe, engine, memory))


def make_setting(g: nn.Module, d: nn.Module, recipe: Recipe, engine: Engine, memory: Memory | None) -> Setting:
    """What losses share: the networks, wrapped or not, the augmentation and the memory."""
    networks = Networks(g, d, engine.precision, engine.compiled)
    return Setting(recipe, networks, Augmentation(recipe.augment, recipe.model), memory or Memory())

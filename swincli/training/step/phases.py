"""The phases of a step as data: which loss moves which network with which optimiser, and how often."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from swincli.recipe import Recipe
from swincli.training.step.engine import Engine
from swincli.training.step.freeze_d import trained_parameters
from swincli.training.step.losses import Batch, Losses, Scalars

EPS = 1e-8


@dataclass(frozen=True)
class Phase:
    """A backward, of the whole batch or in several passes, and one optimiser step.

    Attributes:
        name: What it is called in reports and errors.
        parameters: What it moves.
        optimizer: What moves them.
        interval: Run in every step whose number divides by it.
        loss: Forward and backward of a pass; returns scalars to report.
        clip: Largest norm of the gradient; 0 for any.
        norm_key: Name under which the gradient's norm is reported.
        vectors: Buffers that a forward moves (spectral norm's); every pass starts from the same ones.
        alone: Makes the context of a pass that is not the last: gradients stay with the process until then.
    """

    name: str
    parameters: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    interval: int
    loss: Callable[[Batch], Scalars]
    clip: float = 0.0
    norm_key: str = ""
    vectors: list[Tensor] = field(default_factory=list)
    alone: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext

    def run(self, passes: Sequence[Batch]) -> Scalars:
        """Move the network once by all passes; returns means of their scalars, and the gradient's norm before clipping.

        The passes are equal parts of a batch, so the mean of their gradients is that of the whole.
        """
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        start = [vector.clone() for vector in self.vectors] if len(passes) > 1 else []
        collected = []
        for number, batch in enumerate(passes, start=1):
            for vector, value in zip(self.vectors, start, strict=False):
                vector.copy_(value)
            with self.alone() if number < len(passes) else contextlib.nullcontext():
                collected.append(self.loss(batch))
        norm = self._step(len(passes))
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        scalars = {name: torch.stack([each[name] for each in collected]).mean() for name in collected[0]}
        return scalars | {self.norm_key: norm} if self.norm_key else scalars

    def _step(self, passes: int) -> Tensor:
        for parameter in self.parameters:
            if parameter.grad is None:  # Adam is to count the step all the same
                parameter.grad = torch.zeros_like(parameter)
        if passes > 1:
            torch._foreach_mul_([p.grad for p in self.parameters if p.grad is not None], 1.0 / passes)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip or float("inf"))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm


def make_optimizer(
    parameters: list[nn.Parameter], lr: float, betas: tuple[float, float], interval: int
) -> torch.optim.Adam:
    """Adam, with rate and betas corrected for a lazy regulariser that steps it once more every `interval` steps.

    The correction is `interval / (interval + 1)` (Karras et al., 2020, appendix B); interval 0 stands for none.
    """
    ratio = interval / (interval + 1) if interval else 1.0
    corrected = (betas[0] ** ratio, betas[1] ** ratio)
    fused = parameters[0].device.type in ("cpu", "cuda")
    optimizer = torch.optim.Adam(parameters, lr=lr * ratio, betas=corrected, eps=EPS, fused=fused)
    for group in optimizer.param_groups:
        group["base_lr"] = group["lr"]
    return optimizer


def make_optimizers(
    generator: nn.Module, discriminator: nn.Module, recipe: Recipe
) -> tuple[torch.optim.Adam, torch.optim.Adam]:
    """The optimisers of G and of D that a recipe asks for.

    Raises:
        RecipeError: more of D is to be frozen than there is.
    """
    train, loss = recipe.train, recipe.loss
    betas = (train.beta1, train.beta2)
    return (
        make_optimizer(list(generator.parameters()), train.g_lr, betas, 0),
        make_optimizer(
            trained_parameters(discriminator, train.freeze_d),
            train.d_lr,
            betas,
            loss.r1_interval if loss.r1_gamma else 0,
        ),
    )


def make_phases(
    generator: nn.Module,
    discriminator: nn.Module,
    g_optimizer: torch.optim.Optimizer,
    d_optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    engine: Engine | None = None,
) -> list[Phase]:
    """The phases of a step in their order: D, R1 where it is due, G.

    Args:
        generator, discriminator: The networks themselves.
        g_optimizer, d_optimizer: What moves them, and so says which parameters are trained.
        recipe: The experiment.
        engine: How the networks run on this machine; as they are, by default.
    """
    engine = engine or Engine()
    g_parameters, d_parameters = (optimizer.param_groups[0]["params"] for optimizer in (g_optimizer, d_optimizer))
    g, d = engine.trained(generator, g_parameters), engine.trained(discriminator, d_parameters)
    for_d = Losses(generator, d, recipe.loss, engine.precision, engine.compiled)
    for_g = Losses(g, discriminator, recipe.loss, engine.precision, engine.compiled)
    vectors, alone = list(discriminator.buffers()), engine.without_exchange
    phases = [
        Phase("D", d_parameters, d_optimizer, 1, for_d.d_logistic, recipe.train.clip, "grad/d", vectors, alone(d))
    ]
    if recipe.loss.r1_gamma:
        interval = recipe.loss.r1_interval
        phases.append(Phase("R1", d_parameters, d_optimizer, interval, for_d.d_r1, 0.0, "grad/r1", vectors, alone(d)))
    phases.append(Phase("G", g_parameters, g_optimizer, 1, for_g.g_nonsaturating, 0.0, "grad/g", vectors, alone(g)))
    return phases

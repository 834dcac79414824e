"""The phases of a step as data: which loss moves which network with which optimiser, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from swincli.recipe import Recipe
from swincli.training.losses import Batch, Losses, Scalars

EPS = 1e-8


@dataclass(frozen=True)
class Phase:
    """One backward and one optimiser step.

    Attributes:
        name: What it is called in reports and errors.
        network: The network that it moves.
        optimizer: What moves it.
        interval: Run in every step whose number divides by it.
        loss: Forward and backward; returns scalars to report.
        clip: Largest norm of the gradient; 0 for any.
        norm_key: Name under which the gradient's norm is reported.
    """

    name: str
    network: nn.Module
    optimizer: torch.optim.Optimizer
    interval: int
    loss: Callable[[Batch], Scalars]
    clip: float = 0.0
    norm_key: str = ""

    def run(self, batch: Batch) -> Scalars:
        """Move the network once and return the scalars, among them the gradient's norm before clipping."""
        self.network.requires_grad_(True)
        scalars = self.loss(batch)
        parameters = list(self.network.parameters())
        for parameter in parameters:
            if parameter.grad is None:  # such as the last bias under R1; Adam is to count the step all the same
                parameter.grad = torch.zeros_like(parameter)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.clip or float("inf"))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.network.requires_grad_(False)
        return scalars | {self.norm_key: norm} if self.norm_key else scalars


def make_optimizer(network: nn.Module, lr: float, betas: tuple[float, float], interval: int) -> torch.optim.Adam:
    """Adam, with rate and betas corrected for a lazy regulariser that steps it once more every `interval` steps.

    The correction is `interval / (interval + 1)` (Karras et al., 2020, appendix B); interval 0 stands for none.
    """
    ratio = interval / (interval + 1) if interval else 1.0
    device = next(network.parameters()).device
    corrected = (betas[0] ** ratio, betas[1] ** ratio)
    fused = device.type in ("cpu", "cuda")
    optimizer = torch.optim.Adam(network.parameters(), lr=lr * ratio, betas=corrected, eps=EPS, fused=fused)
    for group in optimizer.param_groups:
        group["base_lr"] = group["lr"]
    return optimizer


def make_optimizers(
    generator: nn.Module, discriminator: nn.Module, recipe: Recipe
) -> tuple[torch.optim.Adam, torch.optim.Adam]:
    """The optimisers of G and of D that a recipe asks for."""
    train, loss = recipe.train, recipe.loss
    betas = (train.beta1, train.beta2)
    return (
        make_optimizer(generator, train.g_lr, betas, 0),
        make_optimizer(discriminator, train.d_lr, betas, loss.r1_interval if loss.r1_gamma else 0),
    )


def make_phases(
    generator: nn.Module,
    discriminator: nn.Module,
    g_optimizer: torch.optim.Optimizer,
    d_optimizer: torch.optim.Optimizer,
    recipe: Recipe,
) -> list[Phase]:
    """The phases of a step in their order: D, R1 where it is due, G."""
    losses = Losses(generator, discriminator, recipe.loss)
    phases = [Phase("D", discriminator, d_optimizer, 1, losses.d_logistic, recipe.train.clip, "grad/d")]
    if recipe.loss.r1_gamma:
        phases.append(Phase("R1", discriminator, d_optimizer, recipe.loss.r1_interval, losses.d_r1))
    phases.append(Phase("G", generator, g_optimizer, 1, losses.g_nonsaturating, 0.0, "grad/g"))
    return phases

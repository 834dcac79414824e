"""Networks for benchmarks: sampling, and training on a batch of noise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from measuring import Work
from torch import nn

from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.system.distributed import Processes
from swincli.training.losses.batch import Batch
from swincli.training.step.engine import start_engine
from swincli.training.step.optimizers import make_optimizers
from swincli.training.step.phases import Phase, make_phases

CPU = torch.device("cpu")

Networks = tuple[nn.Module, nn.Module]


@dataclass(frozen=True)
class Training:
    """Networks with optimisers and phases, and a batch of noise."""

    generator: Generator
    discriminator: nn.Module
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer]
    phases: dict[str, Phase]
    passes: list[Batch]

    def step(self, *names: str) -> None:
        """Run phases by name, in the given order."""
        for name in names:
            self.phases[name].run(self.passes)


def as_they_are(generator: nn.Module, discriminator: nn.Module) -> Networks:
    """swincli's own networks, unchanged."""
    return generator, discriminator


def prepare_training(
    recipe: Recipe,
    batch: int,
    device: torch.device = CPU,
    written: Callable[[nn.Module, nn.Module], Networks] = as_they_are,
) -> Training:
    """Set up the training of a recipe.

    Args:
        recipe: Recipe to train.
        batch: Images per step.
        device: Device to train on.
        written: Wraps the networks that hold the parameters in those that run.
    """
    torch.manual_seed(0)
    generator, discriminator = Generator(recipe.model).to(device), make_discriminator(recipe.model).to(device)
    for network in (generator, discriminator):
        network.requires_grad_(False)
    optimizers = make_optimizers(generator, discriminator, recipe)
    engine = start_engine(recipe.run, generator, discriminator, device, Processes())
    phases = make_phases(*written(generator, discriminator), *optimizers, recipe, engine)
    size, latents = recipe.model.size, torch.randn(2, batch, recipe.model.latent_dim, device=device)
    passes = [Batch(torch.randn(batch, 3, size, size, device=device), latents[0], latents[1])]
    return Training(generator, discriminator, optimizers, {phase.name: phase for phase in phases}, passes)


def generator_work(config: ModelSection, batch: int) -> Work:
    """A forward of G, as in `swincli sample`."""
    torch.manual_seed(0)
    generator = Generator(config).eval().requires_grad_(False)
    z = torch.randn(batch, config.latent_dim)
    return torch.inference_mode()(lambda: generator(z))


def step_work(config: ModelSection, batch: int) -> Work:
    """A training step without R1 and bCR."""
    return functools.partial(prepare_training(Recipe(model=config), batch).step, "D", "G")

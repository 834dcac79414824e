"""A run of a recipe that never leaves its first moments: real steps with images of noise, each phase timed."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from swincli.diagnosis.load import Load
from swincli.model.pixels import to_network
from swincli.recipe import Recipe
from swincli.system.distributed import Processes
from swincli.training.augment import transforms
from swincli.training.ema.ema import update_emas
from swincli.training.run.state import build_state
from swincli.training.step.batch_shards import BatchSplit
from swincli.training.step.engine import start_engine
from swincli.training.step.losses import Batch
from swincli.training.step.phases import make_phases
from swincli.training.step.rng import derive

AVERAGES = "averages"  # what a step does beside its phases

Seconds = dict[str, float]


class Bench:
    """Everything of training but its data: state, engine and phases.

    Args:
        recipe: The experiment.
        device: Where to run it.

    Raises:
        SwincliError: the recipe cannot be trained here.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.state = build_state(recipe, "", device)
        state = self.state
        engine = start_engine(recipe.run, state.generator, state.discriminator, device, Processes())
        self.phases = make_phases(
            state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, recipe, engine
        )

    def step(self, load: Load, tell: Callable[[str], None]) -> Seconds:
        """Run every phase once and move the averages; returns what each took.

        Args:
            load: Images to do it with.
            tell: Told the name of each phase before it begins.
        """
        passes, seconds = noise(self.recipe, load, self.device), Seconds()
        for phase in self.phases:
            tell(phase.name)
            seconds[phase.name] = self._time(lambda phase=phase: phase.run(passes))  # type: ignore[misc]
        self.state.images_seen += self.recipe.train.batch
        seconds[AVERAGES] = self._time(lambda: update_emas(self.state))
        return seconds

    def fixed_bytes(self) -> int:
        """Bytes that the networks take whatever the images: weights, averages, moments, and the larger's gradients."""
        state = self.state
        g, d = (
            sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
            for network in (state.generator, state.discriminator)
        )
        return g * (4 + len(state.power)) + d * 3 + max(g, d)

    def clear(self) -> None:
        """Let go of what a step that failed has left behind."""
        for network in (self.state.generator, self.state.discriminator):
            network.requires_grad_(False)
            network.zero_grad(set_to_none=True)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()

    def _time(self, work: Callable[[], object]) -> float:
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        """Wait for the device to have done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def noise(recipe: Recipe, load: Load, device: torch.device) -> list[Batch]:
    """The passes of a step with images of noise, in all else as `training.batches` makes them."""
    model, count, random = recipe.model, load.total, derive(recipe.train.seed, "noise")
    pixels = torch.randint(0, 256, (count, model.size, model.size, 3), dtype=torch.uint8, generator=random)
    reals = to_network(pixels.to(device), model.pixel_mean, model.pixel_std)
    batch = Batch(reals, *torch.randn(2, count, model.latent_dim, generator=random).to(device))
    if recipe.loss.bcr_real or recipe.loss.bcr_fake:
        real_augment, fake_augment = (transforms.draw_bcr_params(count, model.size, random) for _ in range(2))
        batch = replace(batch, real_augment=real_augment, fake_augment=fake_augment)
    if model.classes:
        labels, d_labels, g_labels = torch.randint(model.classes, (3, count), generator=random).to(device)
        batch = replace(batch, labels=labels, d_labels=d_labels, g_labels=g_labels)
    shares = BatchSplit(count, micro_batches=load.passes)
    return (
        [batch.take(shares.micro_batch_indices(number)) for number in range(load.passes)]
        if load.passes > 1
        else [batch]
    )

"""Training steps on synthetic data: a recipe's real networks and phases with images of noise, each phase timed.

Transforms of what D sees have the probability that the recipe leads to: a run that starts without them ends with them.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from swincli.diagnosis.step_size import StepSize
from swincli.model.pixels import to_network
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.system.distributed import Processes
from swincli.training.augment.probability import final_probability, planned_probability
from swincli.training.ema.ema import update_emas
from swincli.training.losses.adversarial import ADVERSARIAL
from swincli.training.losses.batch import Batch
from swincli.training.preflight import copies_of_g, parameter_bytes
from swincli.training.rng import derive
from swincli.training.run.state import build_state
from swincli.training.step.batch_shards import BatchSplit
from swincli.training.step.batches import send_micro_batches, with_draws
from swincli.training.step.engine import start_engine
from swincli.training.step.phases import make_phases

AVERAGES = "averages"  # name of the EMA update, the part of a step outside its phases

Seconds = dict[str, float]


class SyntheticTraining:
    """The state, engine and phases of a training run, without its images.

    Args:
        recipe: Recipe to run.
        device: Device of the networks.

    Raises:
        SwincliError: the recipe cannot be trained on this machine.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        recipe = with_final_probability(recipe)
        self.recipe, self.device = recipe, device
        self.state = build_state(recipe, "", device)
        state = self.state
        engine = start_engine(recipe.run, state.generator, state.discriminator, device, Processes())
        self.phases = make_phases(
            state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, recipe, engine, state.memory
        )

    def step(self, size: StepSize, on_phase: Callable[[str], None]) -> Seconds:
        """Run every phase once and update the averages; returns the time of each.

        Args:
            size: Images of the step.
            on_phase: Called with the name of each phase before it starts.
        """
        passes, seconds = synthetic_batch(self.recipe, size, self.device), Seconds()
        for phase in self.phases:
            on_phase(phase.name)
            seconds[phase.name] = self._time(lambda phase=phase: phase.run(passes))  # type: ignore[misc]
        self.state.images_seen += self.recipe.train.batch
        seconds[AVERAGES] = self._time(lambda: update_emas(self.state))
        return seconds

    def fixed_bytes(self) -> int:
        """Bytes in use for any number of images: weights, averages, Adam's moments, gradients of the larger network."""
        state = self.state
        g, d = parameter_bytes(state.generator), parameter_bytes(state.discriminator)
        return g * (4 + copies_of_g(self.recipe)) + d * 3 + max(g, d)

    def clear(self) -> None:
        """Free the memory of a step that failed."""
        for network in (self.state.generator, self.state.discriminator):
            network.requires_grad_(False)
            network.zero_grad(set_to_none=True)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()

    def _time(self, work: Callable[[], object]) -> float:
        self._synchronize()
        started = time.perf_counter()
        work()
        self._synchronize()
        return time.perf_counter() - started

    def _synchronize(self) -> None:
        """Wait until the device has finished all queued work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def with_final_probability(recipe: Recipe) -> Recipe:
    """The recipe with the probability of transforms that it leads to, as a constant one."""
    constant = {"control": "fixed", "p": final_probability(recipe.augment)[1], "p_end": None, "p_until": None}
    return recipe.model_copy(update={"augment": recipe.augment.model_copy(update=constant)})


def synthetic_batch(recipe: Recipe, size: StepSize, device: torch.device) -> list[Batch]:
    """Micro-batches of one step with images of noise; everything else is as in `training.step.batches`."""
    model, count, random = recipe.model, size.total, derive(recipe.train.seed, "noise")
    pixels = torch.randint(0, 256, (count, model.size, model.size, 3), dtype=torch.uint8, generator=random)
    reals = to_network(pixels.to(device), model.pixel_mean, model.pixel_std)
    latents = torch.randn(2, count, model.latent_dim, generator=random)
    sized = recipe.model_copy(update={"train": recipe.train.model_copy(update={"batch": count})})
    batch = with_draws(Batch(reals, *latents), sized, torch.arange(count))
    if ADVERSARIAL[recipe.loss.adversarial].paired:
        batch = replace(batch, g_reals=reals)
    if model.is_conditional:
        labels, d_labels, g_labels = _random_labels(model, (3, count), random)
        batch = replace(batch, labels=labels, d_labels=d_labels, g_labels=g_labels)
        if recipe.loss.matching:
            batch = replace(batch, foreign=torch.stack([labels, d_labels, g_labels], dim=1).roll(1, dims=0))
    split, planned = BatchSplit(count, micro_batches=size.micro_batches), planned_probability(recipe.augment, 0)
    return send_micro_batches(batch, recipe, split, device, planned)


def _random_labels(model: ModelSection, shape: tuple[int, int], random: torch.Generator) -> Tensor:
    """Classes, int64 of this shape; or attributes, which have one more axis: 0 and 1 are values of every kind."""
    if not model.attributes:
        return torch.randint(model.classes, shape, generator=random)
    columns = sum(kind.columns for kind in model.attribute_kinds.values())
    return torch.randint(2, (*shape, columns), generator=random).float()

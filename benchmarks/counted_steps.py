"""Run the real phases and steps of training without values, on the meta device, counted by `dispatch_counts`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from dispatch_counts import META, Counts, Parts, as_on_a_gpu, counting
from numpy.typing import NDArray
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from swincli.data.store.reader import Store
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import Recipe
from swincli.recipe.loading import load_recipe
from swincli.system.distributed import Processes
from swincli.training.losses.batch import Batch
from swincli.training.losses.remembered import new_memory
from swincli.training.run.state import TrainingState, make_networks
from swincli.training.run_step import remember, run_all, run_step
from swincli.training.step.batch_shards import split_batch
from swincli.training.step.batches import next_micro_batches
from swincli.training.step.cuda_graphs import RUNS_TO_CAPTURE, Scalars, Work
from swincli.training.step.engine import start_engine
from swincli.training.step.optimizers import make_optimizers
from swincli.training.step.phases import Phase, make_phases, make_setting
from swincli.training.step.prefetch import PrefetchLoader, RankSampler

CASES = {"ffhq256": 4, "ffhq1024": 2}
"""Recipes that are counted, and images of a step."""
BCR = {False: ("loss.bcr_real=0", "loss.bcr_fake=0"), True: ("loss.bcr_real=10", "loss.bcr_fake=10")}
IMAGES = 1000  # of the data set that is made up


def counted_recipe(name: str, batch: int, *settings: str) -> Recipe:
    """A shipped recipe with another batch and other settings."""
    return load_recipe(name, [f"train.batch={batch}", *settings])


class CountedTraining:
    """A training whose data set is made up; on the meta device, so that it can be counted, or on a real one.

    Args:
        recipe: Recipe to train.
        state: Its state on `device`; by default one without values.
        device: Device of the networks.
        graphs: Captures the phases as CUDA graphs.
    """

    def __init__(
        self,
        recipe: Recipe,
        state: TrainingState | None = None,
        device: torch.device = META,
        graphs: CountedGraphs | None = None,
    ) -> None:
        self.recipe, self.device, self.state = recipe, device, state or meta_state(recipe)
        self.store = cast("Store", MadeUpStore(recipe.model.size))
        state = self.state
        engine = start_engine(recipe.run, state.generator, state.discriminator, device, Processes())
        engine = replace(engine, recorder=graphs or engine.recorder)
        self.phases = make_phases(
            state.generator,
            state.discriminator,
            state.g_optimizer,
            state.d_optimizer,
            recipe,
            engine,
            state.memory,
        )
        self.setting = make_setting(state.generator, state.discriminator, recipe, engine, state.memory)

    @contextmanager
    def data(self) -> Iterator[PrefetchLoader]:
        """The loader of training, of images that do not matter."""
        split = split_batch(self.recipe, 1)
        with ThreadPoolExecutor(1) as thread:
            sampler = RankSampler(self.recipe, IMAGES, split.rank_indices(0))
            yield PrefetchLoader(self.store, sampler, self.device, thread)

    def micro_batches(self, loader: PrefetchLoader) -> list[Batch]:
        """The data of the next step, as the loop takes it."""
        split, seen = split_batch(self.recipe, 1), self.state.images_seen
        p = self.setting.probability(seen)
        return next_micro_batches(self.recipe, self.store, seen, split, 0, self.device, loader, p)

    def step(self, loader: PrefetchLoader, phases: list[Phase]) -> None:
        """One whole step of the loop, from the images to the numbers that are reported."""
        step = run_step(self.state, phases, self.micro_batches(loader))
        remember(self.state, step.images_seen, step.get())


class CountedGraphs:
    """CUDA graphs of the meta device. A replay is one launch."""

    def __init__(self) -> None:
        self.parts: Parts | None = None

    def warm_up(self, work: Work) -> Scalars:
        """The work itself."""
        return work()

    def capture(self, work: Work) -> tuple[Scalars, Callable[[], None]]:
        """The result of the work, and a function that counts a launch."""

        def replay() -> None:
            if self.parts is not None:
                self.parts.now.launches["graph"] += 1

        return work(), replay


def count_step(recipe: Recipe, *, graphed: bool = False) -> dict[str, Counts]:
    """What a step with every phase launches, copies and waits for: by phase, and "rest" for what is outside them.

    The rest is images, draws, averages and the report. Steps before it fill the caches, make Adam's moments and, if
    `graphed`, capture CUDA graphs.
    """
    graphs = CountedGraphs() if graphed else None
    training = CountedTraining(recipe, graphs=graphs)
    with as_on_a_gpu(), training.data() as loader:
        for _ in range(RUNS_TO_CAPTURE if graphed else 1):
            run_all(training.phases, training.micro_batches(loader))
        with counting() as parts:
            if graphs is not None:
                graphs.parts = parts
            training.step(loader, [cast("Phase", _CountedPhase(phase, parts)) for phase in training.phases])
    return parts.counts


class _CountedPhase:
    """A phase whose run is counted as a part of its own."""

    def __init__(self, phase: Phase, parts: Parts) -> None:
        self.name, self.interval = phase.name, phase.interval
        self._phase, self._parts = phase, parts

    def run(self, micro_batches: Sequence[Batch]) -> dict[str, torch.Tensor]:
        with self._parts.part(self.name):
            return self._phase.run(micro_batches)


def empty_networks(recipe: Recipe, device: torch.device) -> tuple[Generator, nn.Module]:
    """G and D without values; inside a mode of fake tensors, their weights are fake."""
    with _disable_current_modes(), meta_init():
        generator, discriminator = make_networks(recipe)
    return generator.to_empty(device=device), discriminator.to_empty(device=device)


def meta_state(recipe: Recipe) -> TrainingState:
    """`build_state` without values, with Adam as it runs on a GPU."""
    generator, discriminator = empty_networks(recipe, META)
    average = copy.deepcopy(generator).eval()
    for network in (generator, discriminator, average):
        network.requires_grad_(False)
    optimizers = make_optimizers(generator, discriminator, recipe)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["fused"], group["foreach"] = True, False
    power = [copy.deepcopy(average) for _ in recipe.ema.power]
    return TrainingState(
        recipe, "", generator, discriminator, average, *optimizers, power, memory=new_memory(recipe, META)
    )


class MadeUpStore:
    """A data set of black images that takes no memory."""

    labels = None

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution

    def __len__(self) -> int:
        return IMAGES

    def fetch(self, indices: NDArray[np.int64], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """The images, or `out` as it is."""
        return np.zeros((len(indices), *[self.resolution] * 2, 3), np.uint8) if out is None else out

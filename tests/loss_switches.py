"""Every switch of [loss] and [augment] that changes what is minimised, and steps of runs without their loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.system.distributed import Processes
from swincli.training.losses.batch import Batch
from swincli.training.losses.memory import scalar
from swincli.training.run.state import TrainingState, build_state, state_content
from swincli.training.run_step import remember, run_step
from swincli.training.step.batch_shards import BatchSplit, split_batch
from swincli.training.step.batches import next_micro_batches
from swincli.training.step.engine import Engine, start_engine
from swincli.training.step.phases import make_phases

CPU = torch.device("cpu")
SWITCHES: dict[str, str] = {
    "hinge": "loss.adversarial=hinge",
    "least-squares": "loss.adversarial=least-squares",
    "wasserstein": "loss.adversarial=wasserstein",
    "relativistic": "loss.adversarial=relativistic",
    "r2": "loss.r2_gamma=5",
    "joint penalty": "loss.adversarial=relativistic loss.r1_gamma=2 loss.r2_gamma=3 loss.joint_penalty=true",
    "schedules": (
        "loss.r1_gamma_end=1 loss.gamma_until=24 train.beta2_end=0.9 train.beta2_until=20 ema.half_life_end=50 "
        "ema.half_life_until=24"
    ),
    "bcr": "loss.bcr_real=1 loss.bcr_fake=2",
    "tv": "loss.tv=1",
    "lecam": "loss.lecam=3 loss.lecam_from=8",
    "zcr": "loss.zcr_d=5 loss.zcr_g=0.5",
    "path length": "loss.path_length=2 loss.path_length_interval=2",
    "top-k": "loss.top_k=0.5 loss.top_k_every=8",
    "augself": (
        'augment.transforms=diffaugment loss.augself_d=1 loss.augself_g=0.2 loss.augself_groups=["color","translation"]'
    ),
    "augself of g": "augment.transforms=diffaugment loss.augself_g=0.2",
    "adaptive mix": "loss.adaptive_mix=1",
    "mee dlle": "loss.mee_dlle=1",
    "mee disomap": "loss.mee_disomap=1",
    "mee entropy": "loss.mee_entropy=0.1 loss.mee_buffer=20",
    "diffaugment": "augment.transforms=diffaugment augment.p=0.6",
    "ada": (
        'augment.transforms=ada augment.groups=["blit","geometry","color","filter","noise","cutout"] augment.p=0.5'
    ),
    "adaptive": "augment.transforms=diffaugment augment.control=adaptive augment.speed=40 augment.p=0.2",
    "apa": "augment.apa=true augment.p=0.4",
    "apa adaptive": "augment.apa=true augment.control=adaptive augment.speed=40 augment.p=0.4",
    "weight penalties": 'train.init=start loss.elastic=40 loss.repel=30 loss.repel_models=["other"]',
}
COMBINED = (
    ("hinge", "r2", "lecam", "zcr", "tv", "augself"),
    ("joint penalty", "schedules", "mee dlle", "ada"),
    ("wasserstein", "path length", "bcr", "mee disomap", "weight penalties"),
    ("least-squares", "adaptive mix", "diffaugment", "apa"),
    ("relativistic", "augself of g"),
    ("top-k", "mee entropy", "adaptive", "apa adaptive"),
)
"""Every switch once, in as few runs as contradictions allow."""
WHOLE_BATCH = {"top-k", "mee entropy"}
"""Switches that refuse to be split."""
ACCUMULATED = {
    "bcr": "train.batch=16 run.micro_batch=4 loss.bcr_real=1 loss.bcr_fake=2 train.clip=0.1",
    "path length": "train.batch=16 run.micro_batch=4 loss.path_length=2 loss.path_length_interval=2",
    "weight penalties": f"train.batch=16 run.micro_batch=4 {SWITCHES['weight penalties']}",
}
"""Runs whose two processes each take two micro-batches."""
_ASIDE = "train.batch=16 model.size=32 model.g_channels=[8,8,8,8] model.d_channels=[8,8,8,8] loss.features=1"
FROZEN_FEATURES = {
    "features aside": _ASIDE,
    "features later": f"{_ASIDE} loss.features_from=16",
    "features with joint penalty": f"{_ASIDE} loss.joint_penalty=true",
    "features alone": (
        "train.batch=16 model.size=32 model.g_channels=[8,8,8,8] model.discriminator=features loss.adversarial=hinge "
        "loss.r1_gamma=0"
    ),
}
"""Runs whose D looks through a pretrained network, with a whole group of batch norm's on each of two processes."""
FEATURES = {"augself", "augself of g", "adaptive mix", "mee dlle", "mee disomap", "mee entropy"}
"""Switches that need the feature vector of an image."""
UNCONDITIONAL = {"adaptive mix", "mee disomap"}
"""Switches that blend images and so have no label."""


def keys_of(switches: tuple[str, ...]) -> list[str]:
    """The overrides of some switches."""
    return [key for name in switches for key in SWITCHES[name].split()]


class Steps:
    """A run without its loop, files and checks.

    Args:
        recipe: The experiment.
        store: Training images.
        processes: The ranks that share the batch.
        double: Keep networks and images in float64, so that rounding hides nothing.
    """

    def __init__(
        self, recipe: Recipe, store: Store, processes: Processes | None = None, *, double: bool = False
    ) -> None:
        self.recipe, self.store, self.double = recipe, store, double
        self.processes = processes or Processes()
        self.split: BatchSplit = split_batch(recipe, self.processes.world_size)
        self.state: TrainingState = build_state(recipe, store.content_hash, CPU)
        if double:
            for network in (self.state.generator, self.state.discriminator, self.state.average):
                network.double()
        remember_other_weights(self.state)
        engine = start_engine(recipe.run, self.state.generator, self.state.discriminator, CPU, self.processes)
        self.make_phases(engine)

    def make_phases(self, engine: Engine) -> None:
        """Make the phases that `run` takes."""
        state = self.state
        networks, optimizers = (state.generator, state.discriminator), (state.g_optimizer, state.d_optimizer)
        self.phases = make_phases(*networks, *optimizers, self.recipe, engine, state.memory)

    def run(self, count: int) -> list[dict[str, float]]:
        """Take some steps; their scalars."""
        reported = []
        for _ in range(count):
            step = run_step(self.state, self.phases, self.micro_batches())
            means = self.processes.mean(step.get())
            remember(self.state, step.images_seen, means)
            reported.append(means)
        return reported

    def micro_batches(self) -> list[Batch]:
        batches = next_micro_batches(
            self.recipe, self.store, self.state.images_seen, self.split, self.processes.rank, CPU
        )
        return [doubled(batch) for batch in batches] if self.double else batches

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state by its place."""
        return dict(_tensors("", state_content(self.state)))


def remember_other_weights(state: TrainingState) -> None:
    """What penalties on weights compare with: neither a checkpoint nor other models are read, some are made up."""
    random, memory = torch.Generator().manual_seed(3), state.memory.values
    for name, value in memory.items():
        if name.startswith(("elastic/", "repel/weights/")):
            memory[name] = torch.rand(value.shape, generator=random)
    memory |= {name: scalar(0.1) for name in ("repel/spread", "repel/alpha") if name in memory}


def doubled(batch: Batch) -> Batch:
    """The batch in float64."""
    images = None if batch.g_reals is None else batch.g_reals.double()
    return replace(
        batch,
        reals=batch.reals.double(),
        d_latents=batch.d_latents.double(),
        g_latents=batch.g_latents.double(),
        g_reals=images,
    )


def _tensors(place: str, value: Any) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(place, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [pair for name, inner in items for pair in _tensors(f"{place}/{name}", inner)]

"""Parameters, multiply-adds and file sizes of a recipe, computed on the meta device."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from swincli.model.blocks.conditioning import forward_with_labels, unknown_labels
from swincli.model.meta_init import meta_init
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.training.preflight import copies_of_g, disk_needs, state_bytes
from swincli.training.run.state import make_networks


@dataclass(frozen=True)
class NetworkCost:
    """Size and arithmetic of one network.

    Attributes:
        parameters: Number of trained values.
        multiply_adds: Multiply-adds (MACs) of one image's forward.
    """

    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class RunFiles:
    """Files of a finished run; sizes in bytes.

    Attributes:
        state: Size of one training state.
        states: Number of states that are kept.
        model: Size of one model.
        models: Number of models.
        average: Size of one snapshot of one power-function EMA (ema.power).
        averages: Number of these snapshots.
        soon: Free bytes that the run needs to start.
        most: Most bytes that the run may write, including grids and logs.
    """

    state: int
    states: int
    model: int
    models: int
    average: int
    averages: int
    soon: int
    most: int

    @property
    def total(self) -> int:
        """Bytes of all states, models and averages at the end of the run."""
        return self.states * self.state + self.models * self.model + self.averages * self.average


@dataclass(frozen=True)
class RecipeCost:
    """Cost of both networks and of the run's files."""

    generator: NetworkCost
    discriminator: NetworkCost
    files: RunFiles

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "generator": asdict(self.generator),
            "discriminator": asdict(self.discriminator),
            "files": {**asdict(self.files), "total": self.files.total},
        }


def recipe_cost(recipe: Recipe) -> RecipeCost:
    """Count the parameters, multiply-adds and files of a recipe.

    Raises:
        UsageError: the networks cannot be built.
    """
    with meta_init():
        generator, discriminator = make_networks(recipe)
    model = recipe.model
    z = torch.empty(1, model.latent_dim, device="meta")
    image = torch.empty(1, 3, model.size, model.size, device="meta")
    return RecipeCost(
        _network_cost(generator, z, model),
        _network_cost(discriminator, image, model),
        run_files(recipe, generator, discriminator),
    )


def _network_cost(network: nn.Module, x: Tensor, model: ModelSection) -> NetworkCost:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return NetworkCost(parameters, count_multiply_adds(network, x, model))


def count_multiply_adds(network: nn.Module, x: Tensor, model: ModelSection) -> int:
    """Multiply-adds of one image's forward, counted on the meta device.

    Matrix products and convolutions count, including FIR filters and wavelets. Element-wise operations, norms and
    spectral norm's matrix-vector products do not count. The original release has the same figures except in D's
    wavelets: at every scale it transforms back, filters at full size and transforms again. This adds 0.13 G to 50.8 G
    at 1024 px.
    """
    network.requires_grad_(False)
    labels = unknown_labels(model, 1, "meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        forward_with_labels(network, x, labels)
    return int(counter.get_total_flops()) // 2


def run_files(recipe: Recipe, generator: nn.Module, discriminator: nn.Module) -> RunFiles:
    """Number and size of the files of a whole run.

    `run.keep` states are kept, and the best one too if the run is evaluated. All models and averages are kept.
    """
    model_bytes = sum(tensor.nbytes for tensor in generator.state_dict().values())
    widths, needs = len(recipe.ema.power), disk_needs(recipe, generator, discriminator)
    saves = _saves(recipe)
    return RunFiles(
        state=state_bytes(generator, discriminator, copies_of_g(recipe)),
        states=min(recipe.run.keep + bool(recipe.evaluate.every), saves),
        model=model_bytes,
        models=saves,
        average=model_bytes // 2,  # float16
        averages=widths * -(-recipe.train.total // recipe.ema.power_every),
        soon=needs.soon,
        most=needs.whole,
    )


def _saves(recipe: Recipe) -> int:
    """Number of saves: before training, at every snapshot and evaluation, and at the end."""
    total, snapshot, evaluation = recipe.train.total, recipe.run.snapshot, recipe.evaluate.every
    intervals = {snapshot, evaluation or snapshot}
    during = sum(total // interval for interval in intervals)
    coincident = total // math.lcm(*intervals) if len(intervals) > 1 else 0
    return 1 + during - coincident + all(total % interval for interval in intervals)

"""What a recipe's networks and files come to, found out without running anything."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.training.preflight import disk_needs, state_bytes
from swincli.training.step.losses import forward_with_labels


@dataclass(frozen=True)
class NetworkCost:
    """Size and work of one network.

    Attributes:
        parameters: Trained numbers.
        multiply_adds: Of one image, forwards.
    """

    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Files:
    """What a run leaves behind; sizes in bytes.

    Attributes:
        state: Size of a training state.
        states: How many of them stay.
        model: Size of a model.
        models: How many there are at the end.
        average: Size of a snapshot of one power-function average (ema.power).
        averages: How many there are at the end.
        soon: Bytes that a run must find free to be started.
        most: Bytes that it may come to take, grids and logs included.
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
        """Bytes of states, models and averages at the end of the run."""
        return self.states * self.state + self.models * self.model + self.averages * self.average


@dataclass(frozen=True)
class Cost:
    """All of it."""

    generator: NetworkCost
    discriminator: NetworkCost
    files: Files

    def facts(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "generator": asdict(self.generator),
            "discriminator": asdict(self.discriminator),
            "files": {**asdict(self.files), "total": self.files.total},
        }


def cost_of(recipe: Recipe) -> Cost:
    """Parameters, multiply-adds and files of a recipe.

    Raises:
        UsageError: its networks cannot be built.
    """
    with torch.device("meta"):
        generator, discriminator = Generator(recipe.model), make_discriminator(recipe.model)
    return Cost(
        NetworkCost(_parameters(generator), multiply_adds(generator, _latent(recipe.model), recipe.model)),
        NetworkCost(_parameters(discriminator), multiply_adds(discriminator, _image(recipe.model), recipe.model)),
        files_of(recipe, generator, discriminator),
    )


def multiply_adds(network: nn.Module, x: Tensor, model: ModelSection) -> int:
    """Multiply-adds of a network's forward of one image, counted on the meta device.

    Counted are matrix products and convolutions, filters and wavelets among them; element-wise work, norms and
    spectral norm's matrix-vector products are not. The release comes to the same figures but for D's wavelets: it
    transforms back, filters and transforms again at full size at every scale, which is 0.13 G of 50.8 G at 1024 px.
    """
    network.requires_grad_(False)
    labels = torch.zeros(1, dtype=torch.int64, device="meta") if model.classes else None
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        forward_with_labels(network, x, labels)
    return int(counter.get_total_flops()) // 2


def files_of(recipe: Recipe, generator: nn.Module, discriminator: nn.Module) -> Files:
    """The files of a whole run: states that `run.keep` leaves, models and averages from the untrained ones to the last.

    Where the run is measured the state that did best stays as well.
    """
    widths, needs = len(recipe.ema.power), disk_needs(recipe, generator, discriminator)
    saves = _saves(recipe)
    return Files(
        state=state_bytes(generator, discriminator, widths),
        states=min(recipe.run.keep + bool(recipe.evaluate.every), saves),
        model=_bytes(generator),
        models=saves,
        average=_bytes(generator) // 2,  # float16
        averages=widths * -(-recipe.train.total // recipe.ema.power_every),
        soon=needs.soon,
        most=needs.whole,
    )


def _saves(recipe: Recipe) -> int:
    """How often a run saves: untrained, at every snapshot and measurement, and at its end."""
    total, snapshot, measured = recipe.train.total, recipe.run.snapshot, recipe.evaluate.every
    intervals = {snapshot, measured or snapshot}
    on_the_way = sum(total // interval for interval in intervals)
    both_at_once = total // math.lcm(*intervals) if len(intervals) > 1 else 0
    return 1 + on_the_way - both_at_once + all(total % interval for interval in intervals)


def _latent(model: ModelSection) -> Tensor:
    return torch.empty(1, model.latent_dim, device="meta")


def _image(model: ModelSection) -> Tensor:
    return torch.empty(1, 3, model.size, model.size, device="meta")


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _bytes(network: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())

"""Pivotal tuning (Roich et al., ACM TOG 2022): fine-tune the generator so that inverted codes give their pictures.

The codes are fixed and the generator's weights change. Locality regularisation keeps the images of other codes (section
3.3, equations 4 and 5 of the paper): codes at a fixed distance from the inverted ones, in the direction of random ones.
Here the weights change by low-rank updates (`model/files/tuned`). One set of updates serves all pictures of a call, so
that a walk between two of them uses one generator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from swincli.model.files.model_file import Model
from swincli.model.files.tuned import DOWN, FULL, UP, Deltas, tunable_weights, tuned_weights, zero_deltas
from swincli.model.generator import Generator
from swincli.model.pixels import to_network
from swincli.ops.precision import exact_float32
from swincli.projection.inversion import FIRST_SAMPLE
from swincli.projection.losses import Objective
from swincli.projection.optimise import StepCallback, StepResult, cosine_ramp_down, optimise
from swincli.projection.targets import Target
from swincli.synthesis.latents.codes import w_of_seeds

MIN_SCALE = 0.01  # smallest root mean square assumed for a weight


@dataclass(frozen=True)
class TuningSettings:
    """Settings of a tuning.

    Attributes:
        steps: Steps of Adam per batch of pictures.
        seed: Seed of the order of pictures, of the regularisation's codes and of the initial low-rank factors.
        rate: Maximum learning rate, in root mean squares of a weight.
        ramp_down: Share of the steps in which the rate falls to 0 along a cosine.
        locality: Weight of the locality regularisation.
        reach: Distance of the regularisation's codes from the inverted ones, in mean distances of w from its mean.
    """

    steps: int = 350
    seed: int = 0
    rate: float = 0.01
    ramp_down: float = 0.25
    locality: float = 0.2
    reach: float = 1.0


class Synthesis(nn.Module):
    """A generator whose forward pass maps w+ to images, for `functional_call`."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, w_plus: Tensor) -> Tensor:
        """w+ `[B, L, latent_dim]` -> images `[B, 3, size, size]`."""
        return self.generator.synthesise(w_plus)


def tune(
    model: Model,
    objective: Objective,
    targets: Sequence[Target],
    codes: Tensor,
    settings: TuningSettings,
    batch: int,
    callback: StepCallback,
) -> Deltas:
    """Changes of the generator with which the codes give their pictures; float16, on the CPU.

    Args:
        model: A model from `load_model`; not modified.
        objective: The distance to minimise.
        targets: N pictures of the model's size.
        codes: Their w+, `[N, L, latent_dim]`.
        settings: Steps, rate, regularisation.
        batch: Pictures per step.
        callback: Called in every step.

    Raises:
        SwincliError: the loss of a picture is not finite; the message names the picture and the step.
    """
    section = model.recipe.model
    pictures = torch.stack([target.picture for target in targets]).to(model.device)
    wanted = to_network(pictures, section.pixel_mean, section.pixel_std)
    weights = tunable_weights(model.generator)
    changes = _initial_changes(model.generator, settings.seed)
    adam = torch.optim.Adam(_parameter_groups(changes, weights), lr=1.0)
    sizes = [group["lr"] for group in adam.param_groups]
    synthesis, neighbours = Synthesis(model.generator), _Neighbours(model, settings)
    total = settings.steps * math.ceil(len(targets) / batch)
    batches = _batches(len(targets), batch, settings.seed)

    def rates(step: int) -> list[float]:
        left = cosine_ramp_down(step, total, settings.ramp_down)
        return [settings.rate * size * left for size in sizes]

    def forward(step: int) -> StepResult:  # noqa: ARG001
        chosen = next(batches)
        tuned = {f"generator.{name}": value for name, value in tuned_weights(weights, changes).items()}
        images = functional_call(synthesis, tuned, (codes[chosen],))
        losses = objective.distance(objective.features(images), objective.features(wanted[chosen]))
        others = neighbours.near(codes[chosen])
        with torch.no_grad():
            before = objective.features(model.generator.synthesise(others))
        moved = objective.distance(objective.features(functional_call(synthesis, tuned, (others,))), before)
        names = [targets[index].source for index in chosen.tolist()]
        return StepResult(names, codes[chosen], losses, losses.mean() + settings.locality * moved.mean())

    with exact_float32(model.device):
        optimise(adam, total, rates, forward, callback)
    return {name: value.detach().half().cpu() for name, value in changes.items()}


class _Neighbours:
    """Codes near the inverted ones: `w_p + a (w_z - w_p) / |w_z - w_p|`, where w_z is the w of a random z."""

    def __init__(self, model: Model, settings: TuningSettings) -> None:
        first = FIRST_SAMPLE + 1000 * settings.seed % FIRST_SAMPLE
        self.w = w_of_seeds(model, range(first, first + max(1000, settings.steps))).clone()
        self.reach = settings.reach * (self.w - model.w_mean).square().sum(dim=1).mean().sqrt()
        self.next = 0

    def near(self, codes: Tensor) -> Tensor:
        """One neighbour for every fourth code of w+ `[B, L, latent_dim]`, starting with the first."""
        pivots = codes[::4]
        numbers = [(self.next + index) % len(self.w) for index in range(len(pivots))]
        self.next += len(pivots)
        away = self.w[numbers][:, None] - pivots
        return pivots + self.reach * away / away.square().sum(dim=2, keepdim=True).sqrt().clamp_min(1e-8)


def _initial_changes(generator: Generator, seed: int) -> Deltas:
    """Changes without an effect yet: `up` is 0 and `down` is random, as in LoRA, so that `up` gets a gradient."""
    random = torch.Generator().manual_seed(seed)
    changes = zero_deltas(generator)
    for name, value in changes.items():
        if name.endswith(DOWN):
            value.copy_(torch.randn(value.shape, generator=random) / math.sqrt(value.shape[0]))
        value.requires_grad_()
    return changes


def _parameter_groups(changes: Deltas, weights: dict[str, Tensor]) -> list[dict[str, object]]:
    """One group per tensor; its rate is the weight's root mean square, and 1 for `down`."""
    groups: list[dict[str, object]] = []
    for name, value in changes.items():
        kind = next(kind for kind in (UP, DOWN, FULL) if name.endswith(kind))
        weight = weights[name.removesuffix(kind)]
        scale = max(weight.square().mean().sqrt().item(), MIN_SCALE)
        groups.append({"params": [value], "lr": 1.0 if kind == DOWN else scale})
    return groups


def _batches(count: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Endless batches of picture indices: each epoch takes every picture once, in random order."""
    random = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(count, generator=random).split(batch)

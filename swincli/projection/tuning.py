"""Pivotal tuning (Roich et al., ACM TOG 2022): the generator is bent so that found codes give their pictures exactly.

Codes stay where they are, and the generator's weights move. Locality regularisation keeps the images of other codes as
they were (their section 3.3, equations 4 and 5): of codes at a fixed distance from the found ones, in the direction of
random ones. Here the weights move in few dimensions (`model/tuned`), and one set of changes serves all pictures of a
call, so that one can go from one of them to another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from swincli.errors import SwincliError
from swincli.model.files.model_file import Model
from swincli.model.files.tuned import DOWN, FULL, UP, Deltas, tunable_weights, tuned_weights, zero_deltas
from swincli.model.generator import Generator
from swincli.model.pixels import to_network
from swincli.ops.precision import exact_float32
from swincli.projection.inversion import FIRST_SAMPLE, Watch
from swincli.projection.losses import Objective
from swincli.projection.rates import ramp_down
from swincli.projection.targets import Target
from swincli.synthesis.latents.codes import w_of_seeds

SMALLEST_SCALE = 0.01  # of a weight, for those that are near 0


@dataclass(frozen=True)
class TuningPlan:
    """How the generator is tuned.

    Attributes:
        steps: Of Adam, for every batch of pictures.
        seed: Of the order of pictures, of the regularisation's codes, and of what low ranks start from.
        rate: The largest step, in root mean squares of a weight.
        ramp_down: Share of the steps in which the rate falls to 0 along a cosine.
        locality: Weight of the regularisation.
        reach: Distance of the regularisation's codes from found ones, in typical distances of w from its mean.
    """

    steps: int = 350
    seed: int = 0
    rate: float = 0.01
    ramp_down: float = 0.25
    locality: float = 0.2
    reach: float = 1.0


class Synthesis(nn.Module):
    """A generator whose forward pass is from w+ to images, for `functional_call`."""

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
    plan: TuningPlan,
    batch: int,
    watch: Watch,
) -> Deltas:
    """Changes of the generator with which codes give the pictures that they were found for; float16, on the CPU.

    Args:
        model: A model from `load_model`; it is left as it is.
        objective: What to make small.
        targets: N pictures of the model's size.
        codes: Their w+, `[N, L, latent_dim]`.
        plan: How.
        batch: Pictures at once.
        watch: Told of every step.

    Raises:
        SwincliError: the loss is not finite; it names the step.
    """
    section = model.recipe.model
    pictures = torch.stack([target.picture for target in targets]).to(model.device)
    wanted = to_network(pictures, section.pixel_mean, section.pixel_std)
    weights = tunable_weights(model.generator)
    changes = _first_changes(model.generator, plan.seed)
    adam = torch.optim.Adam(_groups(changes, weights), lr=1.0)
    sizes = [group["lr"] for group in adam.param_groups]
    synthesis, neighbours = Synthesis(model.generator), _Neighbours(model, plan)
    total = plan.steps * math.ceil(len(targets) / batch)
    with exact_float32(model.device):
        for step, chosen in enumerate(_parts(len(targets), batch, total, plan.seed)):
            left = ramp_down(step, total, plan.ramp_down)
            for group, size in zip(adam.param_groups, sizes, strict=True):
                group["lr"] = plan.rate * size * left
            here = {f"generator.{name}": value for name, value in tuned_weights(weights, changes).items()}
            images = functional_call(synthesis, here, (codes[chosen],))
            losses = objective.between(objective.look(images), objective.look(wanted[chosen]))
            if not losses.isfinite().all():
                raise SwincliError(f"the loss of tuning is not a number at step {step + 1}")
            watch(step + 1, codes[chosen], losses.detach())
            others = neighbours.of(codes[chosen])
            with torch.no_grad():
                before = objective.look(model.generator.synthesise(others))
            moved = objective.between(objective.look(functional_call(synthesis, here, (others,))), before)
            adam.zero_grad()
            (losses.mean() + plan.locality * moved.mean()).backward()
            adam.step()
    return {name: value.detach().half().cpu() for name, value in changes.items()}


class _Neighbours:
    """Codes around found ones: `w_p + a (w_z - w_p) / |w_z - w_p|`, with w_z of a random z."""

    def __init__(self, model: Model, plan: TuningPlan) -> None:
        first = FIRST_SAMPLE + 1000 * plan.seed % FIRST_SAMPLE
        self.w = w_of_seeds(model, range(first, first + max(1000, plan.steps))).clone()
        self.reach = plan.reach * (self.w - model.w_mean).square().sum(dim=1).mean().sqrt()
        self.next = 0

    def of(self, codes: Tensor) -> Tensor:
        """A neighbour of every fourth of the codes w+ `[B, L, latent_dim]`, at least of the first."""
        pivots = codes[::4]
        numbers = [(self.next + index) % len(self.w) for index in range(len(pivots))]
        self.next += len(pivots)
        away = self.w[numbers][:, None] - pivots
        return pivots + self.reach * away / away.square().sum(dim=2, keepdim=True).sqrt().clamp_min(1e-8)


def _first_changes(generator: Generator, seed: int) -> Deltas:
    """No change yet; what `down` holds is random, so that `up` has somewhere to go."""
    random = torch.Generator().manual_seed(seed)
    changes = zero_deltas(generator)
    for name, value in changes.items():
        if name.endswith(DOWN):
            value.copy_(torch.randn(value.shape, generator=random) / math.sqrt(value.shape[0]))
        value.requires_grad_()
    return changes


def _groups(changes: Deltas, weights: dict[str, Tensor]) -> list[dict[str, object]]:
    """Every tensor by itself, with a step that is to the weight as its root mean square."""
    groups: list[dict[str, object]] = []
    for name, value in changes.items():
        kind = next(kind for kind in (UP, DOWN, FULL) if name.endswith(kind))
        weight = weights[name.removesuffix(kind)]
        scale = max(weight.square().mean().sqrt().item(), SMALLEST_SCALE)
        groups.append({"params": [value], "lr": 1.0 if kind == DOWN else scale})
    return groups


def _parts(count: int, batch: int, total: int, seed: int) -> Iterator[Tensor]:
    """Indices of the pictures of every step: each picture once, in random order, then again."""
    random = torch.Generator().manual_seed(seed)
    done = 0
    while True:
        for part in torch.randperm(count, generator=random).split(batch):
            if done == total:
                return
            yield part
            done += 1

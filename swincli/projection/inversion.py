"""Seeking the w or w+ of pictures by gradient descent, as StyleGAN2's projector does (Karras et al., 2020, appendix D).

Where it differs: descent starts from the mean w or from one of many samples, whichever is nearer to the picture; steps
and noise are measured by how much w varies; there are wavelet bands in the loss; the best code of the steps without
noise is kept; and w+ is sought from what half of the steps find in w. Images of a batch are sought side by side, and
none of them depends on the others but for rounding.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from swincli.errors import SwincliError
from swincli.model.files.model_file import Model
from swincli.model.pixels import to_network
from swincli.ops.precision import exact_float32
from swincli.projection.losses import Objective, Seen
from swincli.projection.rates import ramp_down
from swincli.projection.targets import Target
from swincli.synthesis.latents.codes import w_of_seeds

Space = Literal["w", "w+"]

FIRST_SAMPLE = 2**31  # the first seed of the samples: far from those that people choose
PIXELS_AT_ONCE = 2**18  # of a batch, where none is asked for: a backward pass keeps what a forward pass need not


@dataclass(frozen=True)
class Plan:
    """How codes are sought.

    Attributes:
        space: "w", one code for the whole image, or "w+", one for every half level.
        steps: Of Adam.
        seed: Of the noise; the picture has its part in it, too.
        samples: Images of w that descent may start from, besides the mean w.
        rate: The largest step, in deviations of w.
        ramp_up: Share of the steps in which the rate rises from 0.
        ramp_down: Share in which it falls to 0 along a cosine.
        noise: Deviation of the noise that is added to w at first, in deviations of w.
        noise_until: Share of the steps after which there is none; up to there it falls with the square.
        together: Share of the steps, in w+, in which an image's codes move as one.
        spread: Weight, in w+, of the mean squared distance of codes to the mean over their image's, in deviations of w.
        beta1, beta2: Of Adam.
    """

    space: Space = "w"
    steps: int = 1000
    seed: int = 0
    samples: int = 250
    rate: float = 0.1
    ramp_up: float = 0.05
    ramp_down: float = 0.25
    noise: float = 0.05
    noise_until: float = 0.75
    together: float = 0.5
    spread: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999

    def rate_at(self, step: int) -> float:
        """The rate of a step, counted from 0."""
        done = (step + 1) / self.steps
        return self.rate * min(1.0, done / self.ramp_up) * ramp_down(step, self.steps, self.ramp_down)

    def noise_at(self, step: int) -> float:
        """The deviation of a step's noise, in deviations of w."""
        return self.noise * max(0.0, 1.0 - step / self.steps / self.noise_until) ** 2


class Watch(Protocol):
    """Told of every step: its number from 1, the codes `[B, L, latent_dim]` before it, and their losses `[B]`."""

    def __call__(self, step: int, codes: Tensor, losses: Tensor) -> None: ...


@dataclass(frozen=True)
class Samples:
    """Where descent may start, the same for all pictures: w `[N, latent_dim]`, first of all the mean; and by how much w
    deviates from it, the root of the mean square over samples and dimensions."""

    w: Tensor
    deviation: float


def default_batch(size: int) -> int:
    """Pictures of a side that a modest machine can seek at once: 16 at 128 px, 4 at 256 px, 1 from 512 px on."""
    return max(1, min(16, PIXELS_AT_ONCE // size**2))


def draw_samples(model: Model, count: int) -> Samples:
    """The mean w and `count` others."""
    drawn = w_of_seeds(model, range(FIRST_SAMPLE, FIRST_SAMPLE + max(count, 100))).clone()
    deviation = (drawn - model.w_mean).square().mean().sqrt().item()
    return Samples(torch.cat([model.w_mean[None], drawn[:count]]), deviation)


def invert(
    model: Model, objective: Objective, targets: Sequence[Target], samples: Samples, plan: Plan, watch: Watch
) -> Tensor:
    """Codes whose images come close to the targets: w `[B, latent_dim]` or w+ `[B, L, latent_dim]`.

    Args:
        model: A model from `load_model`.
        objective: What to make small.
        targets: Pictures of the model's size, all sought at once.
        samples: From `draw_samples`.
        plan: How.
        watch: Told of every step.

    Raises:
        SwincliError: the loss of a picture is not finite; it names the picture and the step.
    """
    generator, section = model.generator, model.recipe.model
    pictures = torch.stack([target.picture for target in targets]).to(model.device)
    with exact_float32(model.device):
        with torch.no_grad():
            wanted = objective.look(to_network(pictures, section.pixel_mean, section.pixel_std))
            start = nearest_samples(model, objective, wanted, samples)
        shared = start.requires_grad_()  # by all codes of an image; what those of w+ have of their own is added
        own = torch.zeros(len(start), 1 if plan.space == "w" else generator.num_ws, start.shape[1], device=start.device)
        own.requires_grad_()
        noises = [torch.Generator().manual_seed(_noise_seed(plan.seed, target)) for target in targets]
        adam = torch.optim.Adam([{"params": [shared]}, {"params": [own]}], betas=(plan.beta1, plan.beta2))
        best = Best((shared[:, None] + own).detach(), torch.full((len(targets),), math.inf, device=model.device))
        for step in range(plan.steps):
            apart = plan.space == "w+" and step >= plan.together * plan.steps
            for group, moves in zip(adam.param_groups, (True, apart), strict=True):
                group["lr"] = plan.rate_at(step) * samples.deviation * moves
            codes = shared[:, None] + own
            strength = plan.noise_at(step) * samples.deviation
            noisy = codes + strength * _draw(noises, codes) if strength else codes
            losses = _losses(model, objective, noisy, wanted)
            _check(losses, targets, step + 1)
            watch(step + 1, _layers(model, codes.detach()), losses.detach())
            if not strength:
                best.note(codes.detach(), losses.detach())
            total = losses.sum()
            if plan.space == "w+":
                total = total + plan.spread * _spread(noisy, samples.deviation).sum()
            adam.zero_grad()
            total.backward()
            adam.step()
        with torch.no_grad():
            codes = shared[:, None] + own
            best.note(codes, _losses(model, objective, codes, wanted))
    return best.codes.squeeze(1) if plan.space == "w" else best.codes


@dataclass
class Best:
    """The best codes so far, image by image, with their losses `[B]`."""

    codes: Tensor
    losses: Tensor

    def note(self, codes: Tensor, losses: Tensor) -> None:
        """Take the codes that are better than those so far."""
        better = losses < self.losses
        self.codes[better], self.losses[better] = codes[better], losses[better]


@torch.no_grad()
def nearest_samples(model: Model, objective: Objective, wanted: Seen, samples: Samples) -> Tensor:
    """For every image that is wanted, the w of the sample whose image is nearest to it, `[B, latent_dim]`.

    Samples are drawn anew for every batch of pictures: their features together would fill any memory.
    """
    count, distances = len(wanted.pixels), []
    for part in samples.w.split(default_batch(model.generator.resolution)):
        seen = objective.look(model.generator.synthesise(model.generator.broadcast(part)))
        distances.append(torch.stack([objective.between(seen, wanted[index : index + 1]) for index in range(count)]))
    return samples.w[torch.cat(distances, dim=1).argmin(dim=1)].clone()


def _layers(model: Model, codes: Tensor) -> Tensor:
    """`[B, 1 or L, latent_dim] -> [B, L, latent_dim]`."""
    return codes.expand(-1, model.generator.num_ws, -1)


def _losses(model: Model, objective: Objective, codes: Tensor, wanted: Seen) -> Tensor:
    return objective.between(objective.look(model.generator.synthesise(_layers(model, codes))), wanted)


def _spread(codes: Tensor, deviation: float) -> Tensor:
    return ((codes - codes.mean(dim=1, keepdim=True)) / deviation).square().mean(dim=(1, 2))


def _draw(noises: Sequence[torch.Generator], codes: Tensor) -> Tensor:
    """Noise for every image from a generator of its own."""
    return torch.stack([torch.randn(codes.shape[1:], generator=random) for random in noises]).to(codes.device)


def _noise_seed(seed: int, target: Target) -> int:
    text = f"{seed} {target.digest}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _check(losses: Tensor, targets: Sequence[Target], step: int) -> None:
    finite = losses.isfinite()
    if not finite.all():
        target = targets[int((~finite).nonzero()[0])]
        raise SwincliError(
            f"{target.source}: the loss is not a number at step {step}",
            "The model's weights, or those of the network of --loss, may be damaged.",
        )

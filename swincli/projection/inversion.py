"""Inversion by optimisation: the w or w+ of pictures, as in StyleGAN2's projector (Karras et al., 2020, appendix D).

Differences: optimisation starts from the mean w or one of many samples, whichever is nearest to the picture. Steps and
noise are in standard deviations of w. The loss includes wavelet bands. The result is the best code of the steps without
noise. w+ starts as one code for all layers; the layers separate after half of the steps. The images of a batch do not
depend on each other beyond rounding.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.model.pixels import to_network
from swincli.ops.precision import exact_float32
from swincli.projection.losses import ImageFeatures, Objective
from swincli.projection.optimise import StepCallback, StepResult, cosine_ramp_down, optimise
from swincli.projection.targets import Target
from swincli.synthesis.latents.codes import w_of_seeds

Space = Literal["w", "w+"]

FIRST_SAMPLE = 2**31  # first seed of the samples, far from the seeds that users choose
MAX_BATCH_PIXELS = 2**18  # of the default batch: a backward pass needs more memory than sampling


@dataclass(frozen=True)
class InversionSettings:
    """Settings of an inversion.

    Attributes:
        space: "w": one code per image; "w+": one code per layer, two per resolution.
        steps: Steps of Adam.
        seed: Seed of the noise, together with the picture.
        samples: Number of samples of w as candidates for the start, besides the mean w.
        rate: Maximum learning rate, in standard deviations of w.
        ramp_up: Share of the steps in which the rate rises linearly from 0.
        ramp_down: Share of the steps in which it falls to 0 along a cosine.
        noise: Initial standard deviation of the noise added to w, in standard deviations of w.
        noise_until: Share of the steps with noise; it falls to 0 quadratically.
        together: For w+: share of the steps in which all codes of an image move as one.
        spread: For w+: weight of the mean squared distance of an image's codes to their mean, in standard deviations.
        beta1: Of Adam.
        beta2: Of Adam.
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
        """Learning rate of a step, counted from 0, in standard deviations of w."""
        done = (step + 1) / self.steps
        return self.rate * min(1.0, done / self.ramp_up) * cosine_ramp_down(step, self.steps, self.ramp_down)

    def noise_at(self, step: int) -> float:
        """Standard deviation of the noise of a step, counted from 0, in standard deviations of w."""
        return self.noise * max(0.0, 1.0 - step / self.steps / self.noise_until) ** 2


@dataclass(frozen=True)
class StartPoints:
    """Candidates for the start of an inversion, the same for all pictures.

    Attributes:
        w: `[N, latent_dim]`; the first is the mean w.
        deviation: Root mean square deviation of w from its mean, over samples and dimensions.
    """

    w: Tensor
    deviation: float


def default_inversion_batch(size: int) -> int:
    """Default number of pictures to invert at once, by image side: 16 at 128 px, 4 at 256 px, 1 from 512 px on."""
    return max(1, min(16, MAX_BATCH_PIXELS // size**2))


def draw_start_points(model: Model, count: int) -> StartPoints:
    """The mean w and `count` samples of w."""
    drawn = w_of_seeds(model, range(FIRST_SAMPLE, FIRST_SAMPLE + max(count, 100))).clone()
    deviation = (drawn - model.w_mean).square().mean().sqrt().item()
    return StartPoints(torch.cat([model.w_mean[None], drawn[:count]]), deviation)


def invert(
    model: Model,
    objective: Objective,
    targets: Sequence[Target],
    starts: StartPoints,
    settings: InversionSettings,
    callback: StepCallback,
) -> Tensor:
    """Find codes whose images are close to the targets: w `[B, latent_dim]` or w+ `[B, L, latent_dim]`.

    Args:
        model: A model from `load_model`.
        objective: The distance to minimise.
        targets: B pictures of the model's size, inverted at once.
        starts: From `draw_start_points`.
        settings: Steps, rates, noise.
        callback: Called in every step.

    Raises:
        SwincliError: the loss of a picture is not finite; the message names the picture and the step.
    """
    generator, section, deviation = model.generator, model.recipe.model, starts.deviation
    names, per_layer = [target.source for target in targets], settings.space == "w+"
    pictures = torch.stack([target.picture for target in targets]).to(model.device)
    with exact_float32(model.device):
        with torch.no_grad():
            wanted = objective.features(to_network(pictures, section.pixel_mean, section.pixel_std))
            start = nearest_start_points(model, objective, wanted, starts)
        shared = start.requires_grad_()  # one code per image, for all layers
        own = torch.zeros(len(start), generator.num_ws if per_layer else 1, start.shape[1], device=start.device)
        own.requires_grad_()  # difference of each layer's code, for w+
        noises = [torch.Generator().manual_seed(_noise_seed(settings.seed, target)) for target in targets]
        best = _Best((shared[:, None] + own).detach(), torch.full((len(targets),), math.inf, device=model.device))

        def rates(step: int) -> list[float]:
            separate = per_layer and step >= settings.together * settings.steps
            return [settings.rate_at(step) * deviation * moves for moves in (True, separate)]

        def forward(step: int) -> StepResult:
            codes = shared[:, None] + own
            strength = settings.noise_at(step) * deviation
            noisy = codes + strength * _draw(noises, codes) if strength else codes
            losses = _losses(model, objective, noisy, wanted)
            if not strength:
                best.update(codes.detach(), losses.detach())
            total = losses.sum()
            if per_layer:
                total = total + settings.spread * _spread(noisy, deviation).sum()
            return StepResult(names, _expand(model, codes.detach()), losses, total)

        betas = (settings.beta1, settings.beta2)
        adam = torch.optim.Adam([{"params": [shared]}, {"params": [own]}], betas=betas)
        optimise(adam, settings.steps, rates, forward, callback)
        with torch.no_grad():
            codes = shared[:, None] + own
            best.update(codes, _losses(model, objective, codes, wanted))
    return best.codes if per_layer else best.codes.squeeze(1)


@dataclass
class _Best:
    """The best codes so far, per image, and their losses `[B]`."""

    codes: Tensor
    losses: Tensor

    def update(self, codes: Tensor, losses: Tensor) -> None:
        """Take the codes with a lower loss."""
        better = losses < self.losses
        self.codes[better], self.losses[better] = codes[better], losses[better]


@torch.no_grad()
def nearest_start_points(model: Model, objective: Objective, wanted: ImageFeatures, starts: StartPoints) -> Tensor:
    """For each wanted image, the start point whose image is nearest, `[B, latent_dim]`.

    The images of the start points are generated again for each batch of pictures: all their features together would not
    fit into memory.
    """
    count, distances = len(wanted.pixels), []
    for part in starts.w.split(default_inversion_batch(model.generator.resolution)):
        features = objective.features(model.generator.synthesise(model.generator.broadcast(part)))
        rows = [objective.distance(features, wanted[index : index + 1]) for index in range(count)]
        distances.append(torch.stack(rows))
    return starts.w[torch.cat(distances, dim=1).argmin(dim=1)].clone()


def _expand(model: Model, codes: Tensor) -> Tensor:
    """`[B, 1 or L, latent_dim] -> [B, L, latent_dim]`."""
    return codes.expand(-1, model.generator.num_ws, -1)


def _losses(model: Model, objective: Objective, codes: Tensor, wanted: ImageFeatures) -> Tensor:
    return objective.distance(objective.features(model.generator.synthesise(_expand(model, codes))), wanted)


def _spread(codes: Tensor, deviation: float) -> Tensor:
    return ((codes - codes.mean(dim=1, keepdim=True)) / deviation).square().mean(dim=(1, 2))


def _draw(noises: Sequence[torch.Generator], codes: Tensor) -> Tensor:
    """Standard normal noise in the shape of the codes; each image has its own generator."""
    return torch.stack([torch.randn(codes.shape[1:], generator=random) for random in noises]).to(codes.device)


def _noise_seed(seed: int, target: Target) -> int:
    text = f"{seed} {target.digest}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

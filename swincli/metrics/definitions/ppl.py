"""Perceptual path length: how much pictures change on a small step in latent space.

Karras et al. (CVPR 2019, section 4.1): short where latent space is smooth. Two codes are drawn, and the picture at the
first is compared with the one a small step epsilon on the way to the second; the distance over epsilon², on average.
Steps start at the drawn codes (t = 0), as Karras et al. (CVPR 2020) measure in W, so that only pictures are compared
that the model makes; in Z, where the way is an arc on the sphere, each of its points is as likely as its ends anyway.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from swincli.console import Advance
from swincli.metrics.networks.perceptual_input import comparable
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.classes import labels_as_trained

EPSILON = 1e-4
TRIM = 1.0  # per cent of the lengths that are left out at either end
_PURPOSE = zlib.crc32(b"path length")  # keeps these draws apart from all others that a seed may start

Distance = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[Model, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


def path_lengths(
    model: Model,
    space: str,
    pairs: int,
    seed: int,
    distance: Distance,
    batch: int,
    advance: Advance,
    share: range | None = None,
) -> NDArray[np.float64]:
    """Length of a step from each of some pairs of codes, [pairs], or of a share of them.

    Classes of a conditional model are drawn as often as in training, one for both codes of a pair. There is no
    truncation. A pair depends on nothing but `seed`, `pairs` and its number.

    Args:
        model: A model from `load_model`.
        space: Where the step goes: "w", on a line, or "z", on the sphere.
        pairs: How many.
        seed: Two of them share no pair.
        distance: Between pictures [B, 3, H, W] of -1 to 1, on the model's device: [B].
        batch: Pairs at once; makes no difference beyond rounding.
        advance: Told how many more pairs are done.
        share: Which of the `pairs`, from 0; all by default.
    """
    share = range(pairs) if share is None else share
    numbers = range(seed * pairs + share.start, seed * pairs + share.stop)
    lengths = [np.zeros(0)]
    for start in range(0, len(numbers), batch):
        part = numbers[start : start + batch]
        lengths.append(_lengths(model, STEPS[space], part, distance))
        advance(len(part))
    return np.concatenate(lengths)


def draw_codes(numbers: Sequence[int], latent_dim: int) -> Tensor:
    """The two z of each of N pairs, float32 [2, N, latent_dim], whatever the other pairs are."""
    size = (2, latent_dim)
    drawn = [np.random.default_rng((number, _PURPOSE)).standard_normal(size, dtype=np.float32) for number in numbers]
    return torch.from_numpy(np.stack(drawn, axis=1))


def trimmed_mean(lengths: NDArray[np.float64], percent: float = TRIM) -> float:
    """Mean without the lowest and the highest `percent`; what lies on the bounds counts, as in StyleGAN's code."""
    low = np.percentile(lengths, percent, method="lower")
    high = np.percentile(lengths, 100 - percent, method="higher")
    return float(lengths[(lengths >= low) & (lengths <= high)].mean())


@torch.inference_mode()
def _lengths(model: Model, step: Step, numbers: Sequence[int], distance: Distance) -> NDArray[np.float64]:
    z = draw_codes(numbers, model.recipe.model.latent_dim).to(model.device)
    labels = labels_as_trained(model, numbers)
    if labels is not None:
        labels = labels.to(model.device)
    with torch.autocast(model.device.type, enabled=False):
        codes = torch.cat(step(model, z[0], z[1], labels))
        # Both ends go through in one batch, so that rounding treats them alike.
        images = model.generator.synthesise(model.generator.broadcast(codes))
        apart = distance(*comparable(model, images).chunk(2))
    lengths: NDArray[np.float64] = apart.double().cpu().numpy() / EPSILON**2
    return lengths


def _step_in_w(model: Model, first: Tensor, second: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """w at the first z, and a step of epsilon on the line to that of the second."""
    start, end = model.generator.map(first, labels), model.generator.map(second, labels)
    return start, torch.lerp(start, end, EPSILON)


def _step_in_z(model: Model, first: Tensor, second: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """w at the first z, and at a step of epsilon on the great circle to the second; z's length makes no difference."""
    first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    angle = EPSILON * torch.acos((first * second).sum(dim=1, keepdim=True))
    across = F.normalize(second - (first * second).sum(dim=1, keepdim=True) * first, dim=1)
    moved = first * torch.cos(angle) + across * torch.sin(angle)
    scale = math.sqrt(first.shape[1])
    return model.generator.map(first * scale, labels), model.generator.map(moved * scale, labels)


STEPS: dict[str, Step] = {"w": _step_in_w, "z": _step_in_z}
"""From a model and two z [B, latent_dim], and labels where it has classes: two w [B, latent_dim], epsilon apart."""

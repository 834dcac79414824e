"""PPL: perceptual path length, how much images change on a small step in latent space (Karras et al., CVPR 2019, 4.1).

Two latents are drawn. The image at the first is compared with the image a step epsilon towards the second; PPL is the
mean of distance / epsilon². Small values mean a smooth latent space. Steps start at the drawn latents (t = 0), as
Karras et al. (CVPR 2020) do in W, so that only images from the model's distribution are compared. In Z the path is an
arc on the sphere, where every point is as likely as the ends.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from swincli.console import Advance
from swincli.metrics.networks.perceptual_input import to_perceptual_input
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.classes import labels_as_trained

EPSILON = 1e-4
TRIM = 1.0  # per cent of the lengths that are dropped at either end
_PURPOSE = zlib.crc32(b"path length")  # separates these draws from all others with the same seed

Distance = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[Model, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class PathLengths:
    """Lengths of N steps in either latent space.

    Attributes:
        w: Lengths in W, float64 [N].
        z: Lengths in Z, float64 [N].
        seed: Seed of the pairs of latents.
    """

    w: NDArray[np.float64]
    z: NDArray[np.float64]
    seed: int


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
    """Path lengths of pairs of latents, float64 [pairs], or of a share of the pairs.

    A conditional model uses one class for both latents of a pair, with the frequencies of its training images. There
    is no truncation. A pair depends only on `seed`, `pairs` and its index.

    Args:
        model: A model from `load_model`.
        space: Latent space of the step: "w" (a line) or "z" (an arc on the sphere).
        pairs: Number of pairs.
        seed: Two seeds share no pair.
        distance: Distance [B] of images [B, 3, H, W] of -1 to 1, on the model's device.
        batch: Pairs per batch; changes results only by rounding.
        advance: Called with the number of pairs done.
        share: Indices of the pairs to compute; all by default.
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
    """The two z of each of N pairs, float32 [2, N, latent_dim]; each pair depends only on its number."""
    size = (2, latent_dim)
    drawn = [np.random.default_rng((number, _PURPOSE)).standard_normal(size, dtype=np.float32) for number in numbers]
    return torch.from_numpy(np.stack(drawn, axis=1))


def trimmed_mean(lengths: NDArray[np.float64], percent: float = TRIM) -> float:
    """Mean of the lengths between the two percentiles, bounds included, as in StyleGAN's code."""
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
        # Both ends are in one batch, so that they are rounded alike.
        images = model.generator.synthesise(model.generator.broadcast(codes))
        apart = distance(*to_perceptual_input(model, images).chunk(2))
    lengths: NDArray[np.float64] = apart.cpu().double().numpy() / EPSILON**2
    return lengths


def _step_in_w(model: Model, first: Tensor, second: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """The w of the first z, and the w a step epsilon on the line to the w of the second z."""
    start, end = model.generator.map(first, labels), model.generator.map(second, labels)
    return start, torch.lerp(start, end, EPSILON)


def _step_in_z(model: Model, first: Tensor, second: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """The w of the first z, and the w of the z a step epsilon on the great circle to the second; |z| has no effect."""
    first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    angle = EPSILON * torch.acos((first * second).sum(dim=1, keepdim=True))
    across = F.normalize(second - (first * second).sum(dim=1, keepdim=True) * first, dim=1)
    moved = first * torch.cos(angle) + across * torch.sin(angle)
    scale = math.sqrt(first.shape[1])
    return model.generator.map(first * scale, labels), model.generator.map(moved * scale, labels)


STEPS: dict[str, Step] = {"w": _step_in_w, "z": _step_in_z}
"""Maps a model, two z [B, latent_dim] and labels (None without classes) to two w [B, latent_dim], epsilon apart."""

"""Path length regularisation (StyleGAN2; Karras et al., CVPR 2020, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from swincli.training.losses.memory import Remembered, Step, scalar
from swincli.training.schedules import is_due

PATH_MEAN = "path_length/mean"
DECAY = 0.99  # of the mean length


def path_lengths(generator: Any, z: Tensor, labels: Tensor | None, *, noise: Tensor) -> Tensor:
    """Length of the gradient of `sum G(w+) y` with respect to w+, `[B]`; y is the noise / sqrt(H W).

    The length of an image is the root of the mean over layers of the squared norm. Gradients flow through it, to every
    parameter of G: those that it does not depend on get 0, because DDP waits for a gradient of each.

    Args:
        generator: G, with `map`, `broadcast` and `synthesise`.
        z, labels: As for G.
        noise: N(0, 1), `[B, 3, H, W]`.
    """
    w_plus = generator.broadcast(generator.map(z, labels))
    images = generator.synthesise(w_plus)
    y = noise.to(images) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * y).sum(), w_plus, create_graph=True)
    lengths: Tensor = gradient.square().sum(dim=2).mean(dim=1).sqrt()
    return torch.add(lengths, images.sum(), alpha=0.0)


def _update(values: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
    if "g/path_length" not in step.means:  # the phase was not due
        return {}
    return {PATH_MEAN: values[PATH_MEAN] * DECAY + step.means["g/path_length"] * (1 - DECAY)}


REMEMBERED = Remembered(
    wanted=lambda recipe: recipe.loss.path_length > 0,
    start=lambda _: {PATH_MEAN: scalar(0.0)},
    update=_update,
    reads_last=lambda recipe, _, images_seen: is_due(images_seen, recipe.train.batch, recipe.loss.path_length_interval),
)

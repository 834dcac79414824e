"""Path length regularisation (StyleGAN2; Karras et al., CVPR 2020, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from swincli.training.losses.batch import Batch
from swincli.training.losses.memory import Remembered, Step, scalar

PATH_MEAN = "path_length/mean"
DECAY = 0.99  # of the mean length


def path_lengths(generator: Any, batch: Batch) -> Tensor:
    """Length of the gradient of `sum G(w+) y` with respect to w+, `[B]`; y ~ N(0, 1) / sqrt(H W).

    The length of an image is the root of the mean over layers of the squared norm. Gradients flow through it. In
    float32.

    Args:
        generator: G, with `map`, `broadcast` and `synthesise`.
        batch: G's latents and labels, and the draws "path_length", `[B, 3, H, W]`.
    """
    w_plus = generator.broadcast(generator.map(batch.g_latents, batch.g_labels))
    images = generator.synthesise(w_plus)
    noise = batch.draws["path_length"].to(images) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), w_plus, create_graph=True)
    lengths: Tensor = gradient.square().sum(dim=2).mean(dim=1).sqrt()
    return lengths


def _update(values: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
    if "g/path_length" not in step.means:  # the phase was not due
        return {}
    return {PATH_MEAN: values[PATH_MEAN] * DECAY + step.means["g/path_length"] * (1 - DECAY)}


REMEMBERED = Remembered(
    wanted=lambda recipe: recipe.loss.path_length > 0, start=lambda _: {PATH_MEAN: scalar(0.0)}, update=_update
)

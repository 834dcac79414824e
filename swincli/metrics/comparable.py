"""Pictures of a generator as perceptual networks take them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from swincli.metrics.perceptual import SMALLEST
from swincli.model.weights import Model

LARGEST = 256  # side in pixels of the pictures that are compared; larger ones are averaged down, as by Karras et al.


def comparable(model: Model, images: Tensor) -> Tensor:
    """The network's pictures as -1 to 1, at most 256 px and at least 32 px wide; not clipped."""
    section = model.recipe.model
    mean, deviation = (images.new_tensor(value)[:, None, None] for value in (section.pixel_mean, section.pixel_std))
    pixels = 2 * (images * deviation + mean) - 1
    side = pixels.shape[-1]
    if side > LARGEST:
        return F.avg_pool2d(pixels, side // LARGEST)
    return F.interpolate(pixels, scale_factor=SMALLEST // side, mode="nearest") if side < SMALLEST else pixels

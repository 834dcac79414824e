"""Pictures of a generator as perceptual networks take them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from swincli.metrics.networks.stlpips import SMALLEST
from swincli.model.files.model_file import Model

LARGEST = 256  # side in pixels of the pictures that are compared; larger ones are averaged down, as by Karras et al.


def comparable(model: Model, images: Tensor) -> Tensor:
    """The network's pictures as -1 to 1, at most 256 px and at least 32 px wide; not clipped."""
    section = model.recipe.model
    mean, deviation = (images.new_tensor(value)[:, None, None] for value in (section.pixel_mean, section.pixel_std))
    pixels = 2 * (images * deviation + mean) - 1
    side = pixels.shape[-1]
    if side < SMALLEST:
        return F.interpolate(pixels, scale_factor=SMALLEST // side, mode="nearest")
    return averaged_down(pixels)


def averaged_down(images: Tensor) -> Tensor:
    """Images `[B, 3, H, H]`, H a power of two, as they are up to 256 px, and averaged down to that where larger."""
    side = images.shape[-1]
    return F.avg_pool2d(images, side // LARGEST) if side > LARGEST else images

"""Input of perceptual distances: a generator's images in -1 to 1 at a size that the network takes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from swincli.metrics.networks.stlpips import SMALLEST
from swincli.model.files.model_file import Model

LARGEST = 256  # side in pixels above which images are averaged down, as Karras et al. do


def to_perceptual_input(model: Model, images: Tensor) -> Tensor:
    """Map a generator's output [B, 3, H, H] to pixels of -1 to 1, 32 to 256 px on a side, without clipping."""
    section = model.recipe.model
    mean, deviation = (images.new_tensor(value)[:, None, None] for value in (section.pixel_mean, section.pixel_std))
    pixels = 2 * (images * deviation + mean) - 1
    side = pixels.shape[-1]
    if side < SMALLEST:
        return F.interpolate(pixels, scale_factor=SMALLEST // side, mode="nearest")
    return averaged_down(pixels)


def averaged_down(images: Tensor) -> Tensor:
    """Average images [B, 3, H, H], H a power of two, down to 256 px; smaller images are returned unchanged."""
    side = images.shape[-1]
    return F.avg_pool2d(images, side // LARGEST) if side > LARGEST else images

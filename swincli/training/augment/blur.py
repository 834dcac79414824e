"""A Gaussian blur of everything that D sees, which fades: details count late (StyleGAN-XL, Sauer et al., 2022)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.recipe.objective import LEAST_BLUR, AugmentSection

_REACH = 3.0  # standard deviations on each side


def blur_sigma(images_seen: int, section: AugmentSection) -> float:
    """Standard deviation in pixels after some images; it falls linearly to 0 at `blur_until`."""
    if not section.blur or section.blur_until is None:
        return 0.0
    return section.blur * max(0.0, 1 - images_seen / section.blur_until)


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """`[B, C, H, W]` -> the same shape. Borders are mirrored; differentiable any number of times."""
    reach = min(math.floor(_REACH * sigma), images.shape[-1] - 1, images.shape[-2] - 1)
    if sigma < LEAST_BLUR or reach < 1:
        return images
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    kernel = (kernel / kernel.sum()).to(images)
    channels = images.shape[1]
    padded = F.pad(images, (reach, reach, reach, reach), mode="reflect")
    rows = F.conv2d(padded, kernel.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)

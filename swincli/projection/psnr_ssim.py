"""PSNR and SSIM of two images."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5  # Gaussian window of SSIM, in pixels
K1, K2 = 0.01, 0.03
PEAK = 255.0


def psnr(one: Tensor, other: Tensor) -> float:
    """Peak signal-to-noise ratio of two images, uint8 `[H, W, 3]`, in dB; infinite if they are equal."""
    error = (one.double() - other.double()).square().mean().item()
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def ssim(one: Tensor, other: Tensor) -> float:
    """Structural similarity of two images, uint8 `[H, W, 3]`, at most 1 (Wang et al., IEEE TIP 2004, equation 13).

    Gaussian window of 11 x 11 px with sigma 1.5, as in the paper. The mean is over channels and over all positions
    where the window is inside the image. Images below 11 px use the largest odd window that fits.
    """
    x, y = (picture.double().permute(2, 0, 1)[:, None] for picture in (one, other))
    side = min(WINDOW, *one.shape[:2])
    side -= 1 - side % 2
    offsets = torch.arange(side, dtype=torch.float64) - side // 2
    row = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    kernel = torch.outer(row, row)[None, None] / row.sum() ** 2

    def mean(values: Tensor) -> Tensor:
        return F.conv2d(values, kernel)

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    c1, c2 = (K1 * PEAK) ** 2, (K2 * PEAK) ** 2
    parts = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (parts / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))).mean().item()

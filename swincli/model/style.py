"""How a style reaches the features: adaptive instance normalisation (StyleSwin, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from swincli.model.layers import EqualLinear


class AdaptiveInstanceNorm(nn.Module):
    """Normalise every channel over the positions of an image, then scale and shift it by functions of w.

    `gamma * (x - mean) / sqrt(variance + 1e-5) + beta`, the variance biased; (gamma, beta) is one equalised linear
    layer of w (Huang and Belongie, 2017).

    Args:
        channels: Channels of x.
        latent_dim: Length of w.
        gamma_init: What gamma's bias starts from.
    """

    def __init__(self, channels: int, latent_dim: int, gamma_init: float = 0.0) -> None:
        super().__init__()
        bias = torch.zeros(2 * channels)
        bias[:channels] = gamma_init
        self.style = EqualLinear(latent_dim, 2 * channels, bias_init=bias)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`."""
        gamma, beta = self.style(w)[:, None, None].chunk(2, dim=-1)
        variance, mean = torch.var_mean(x, dim=(1, 2), correction=0, keepdim=True)
        scale = gamma * torch.rsqrt(variance + 1e-5)
        return torch.addcmul(beta - mean * scale, x, scale)

"""Normalisations that w sets the scale and the shift of: AdaIN, AdaLN and AdaBN (StyleSwin, section 3.1, AdaNorm)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.layers import EqualLinear
from swincli.ops.instance_norm import EPS, Normalise, instance_norm, instance_norm_of
from swincli.ops.precision import in_float32

ALL = slice(None)


def scale_and_shift(channels: int, latent_dim: int, gamma_init: float) -> EqualLinear:
    """The equalised linear layer that makes (gamma, beta) `[B, 2 C]` of w; gamma starts around `gamma_init`."""
    bias = torch.zeros(2 * channels)
    bias[:channels] = gamma_init
    return EqualLinear(latent_dim, 2 * channels, bias_init=bias)


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
        self.style = scale_and_shift(channels, latent_dim, gamma_init)

    @in_float32
    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`, in float32 under autocast."""
        return instance_norm(x, *self.style(w)[:, None, None].chunk(2, dim=-1))

    @in_float32
    def of(self, x: Tensor, w: Tensor) -> Normalise:
        """The normalisation of a map, for parts of it."""
        return instance_norm_of(x, *self.style(w)[:, None, None].chunk(2, dim=-1))


class AdaptiveLayerNorm(nn.Module):
    """Normalise every position over its channels, then scale and shift it by functions of w, as AdaIN does.

    Args:
        channels: Channels of x.
        latent_dim: Length of w.
        gamma_init: What gamma's bias starts from.
    """

    def __init__(self, channels: int, latent_dim: int, gamma_init: float = 0.0) -> None:
        super().__init__()
        self.style = scale_and_shift(channels, latent_dim, gamma_init)

    @in_float32
    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`, in float32 under autocast."""
        return self.of(x, w)(x, ALL)

    @in_float32
    def of(self, x: Tensor, w: Tensor) -> Normalise:  # noqa: ARG002
        """The normalisation of a map, for parts of it."""
        gamma, beta = self.style(w)[:, None, None].chunk(2, dim=-1)
        return lambda values, images: torch.addcmul(
            beta[images], F.layer_norm(values, values.shape[-1:], eps=EPS), gamma[images]
        )


class AdaptiveBatchNorm(nn.Module):
    """Normalise every channel over the positions of all images, then scale and shift it by functions of w.

    In training the statistics are the batch's, and a running average of them is kept (weight 0.1 for the newest);
    otherwise they are that average, so that an image does not depend on those beside it.

    Args:
        channels: Channels of x.
        latent_dim: Length of w.
        gamma_init: What gamma's bias starts from.
    """

    def __init__(self, channels: int, latent_dim: int, gamma_init: float = 0.0) -> None:
        super().__init__()
        self.style = scale_and_shift(channels, latent_dim, gamma_init)
        self.norm = nn.BatchNorm1d(channels, eps=EPS, affine=False)

    @in_float32
    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`, in float32 under autocast."""
        return self.of(x, w)(x, ALL)

    @in_float32
    def of(self, x: Tensor, w: Tensor) -> Normalise:  # noqa: ARG002
        """The normalisation of a map; for parts of it in eval mode only, where statistics are not taken of them."""
        gamma, beta = self.style(w)[:, None, None].chunk(2, dim=-1)

        def normalise(values: Tensor, images: slice) -> Tensor:
            normal = self.norm(values.reshape(-1, values.shape[-1])).view(values.shape)
            return torch.addcmul(beta[images], normal, gamma[images])

        return normalise


class LayerNorm(nn.Module):
    """Swin's layer norm, which w has no part in.

    Args:
        channels: Channels of x.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # noqa: ARG002
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`."""
        out: Tensor = self.norm(x)
        return out

    def of(self, x: Tensor, w: Tensor) -> Normalise:  # noqa: ARG002
        """The normalisation of a map, for parts of it."""
        return lambda values, images: self.norm(values)  # noqa: ARG005

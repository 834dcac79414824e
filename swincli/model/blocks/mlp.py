"""The MLP of a block: Swin's, and one with weights modulated by w (StyleSwin, section 3.1, "Modulated MLP")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.layers import EqualLinear
from swincli.ops.mlp import mlp
from swincli.ops.precision import in_float32


class Mlp(nn.Module):
    """Swin's MLP: two linear layers with a GELU between them, applied to every position. It does not use w."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, hidden)
        self.contract = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # noqa: ARG002
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`."""
        return mlp(x, self.expand.weight, self.expand.bias, self.contract.weight, self.contract.bias)


class ModulatedLinear(nn.Module):
    """A linear layer with weight modulation and demodulation by w (Karras et al., 2020).

    The weight of an image is `scale[i] * weight[o, i]`, divided by its norm over i. `scale` is an equalised linear
    layer of w; its bias starts at 1. The code scales x and divides the result instead, which gives the same.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        latent_dim: Length of w.
    """

    def __init__(self, inputs: int, outputs: int, latent_dim: int) -> None:
        super().__init__()
        self.style = EqualLinear(latent_dim, inputs, bias_init=1.0)
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[B, H, W, inputs], [B, latent_dim] -> [B, H, W, outputs]`."""
        scale, weight = self.style(w), self.linear.weight
        out = F.linear(x * scale[:, None, None], weight)
        return torch.addcmul(self.linear.bias, out, _demodulation(scale, weight)[:, None, None])


@in_float32
def _demodulation(scale: Tensor, weight: Tensor) -> Tensor:
    """One over the norm of each row of the modulated weight: `[B, inputs], [outputs, inputs] -> [B, outputs]`."""
    return F.linear(scale.square(), weight.square()).add(1e-8).rsqrt()


class ModulatedMlp(nn.Module):
    """Two modulated linear layers with a GELU between them, applied to every position."""

    def __init__(self, channels: int, hidden: int, latent_dim: int) -> None:
        super().__init__()
        self.expand = ModulatedLinear(channels, hidden, latent_dim)
        self.contract = ModulatedLinear(hidden, channels, latent_dim)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`."""
        out: Tensor = self.contract(F.gelu(self.expand(x, w)), w)
        return out

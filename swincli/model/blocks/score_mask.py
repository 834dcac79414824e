"""Attention by distance: masks that multiply the logits, and initial values of the relative position bias."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from swincli.ops.constants import cached_constant

PRECISIONS = (0.0, 0.125, 0.5, 2.0, 8.0)
"""Initial precisions of the Gaussians of a mask: standard deviations of infinity, 2, 1, 1/2 and 1/4 windows."""


@cached_constant
def squared_distances(side: int, *, device: torch.device | None = None) -> Tensor:
    """Squared distance of every pair of positions of a window, in windows: float32 `[side², side²]`."""
    y, x = torch.meshgrid(*2 * [torch.arange(side, device=device)], indexing="ij")
    position = torch.stack([y.flatten(), x.flatten()]).float()
    return (position[:, :, None] - position[:, None, :]).square().sum(dim=0) / side**2


class GaussianMask(nn.Module):
    """A mixture of Gaussians of the distance for every head, which multiplies the scaled logits before the bias.

    `M = sum_k weight_k exp(-precision_k r²)` with the distance r in windows. In the beginning the first Gaussian is
    constant and the others have weight 0. So M is 1, and attention is as without the mask.

    Args:
        heads: Number of heads.
        side: Side of a window.
    """

    def __init__(self, heads: int, side: int) -> None:
        super().__init__()
        self.side = side
        start = torch.zeros(heads, len(PRECISIONS))
        start[:, 0].fill_(1.0)
        self.weights = nn.Parameter(start)
        self.precisions = nn.Parameter(torch.tensor(PRECISIONS).repeat(heads, 1))

    def forward(self) -> Tensor:
        """The factor of every pair of positions, `[h, side², side²]`."""
        squares = squared_distances(self.side, device=self.weights.device, dtype=self.weights.dtype)
        gaussians = torch.exp(-self.precisions[:, :, None, None] * squares)
        factors: Tensor = (self.weights[:, :, None, None] * gaussians).sum(dim=1)
        return factors


SCORE_MASKS: dict[str, Callable[[int, int], nn.Module] | None] = {"none": None, "gaussian": GaussianMask}
"""Masks that multiply the logits, built from the number of heads and the side of a window."""


def normal(heads: int, side: int) -> Tensor:
    """A bias table that is drawn from a truncated normal distribution of std 0.02: `[(2 side - 1)², h]`."""
    return nn.init.trunc_normal_(torch.empty((2 * side - 1) ** 2, heads), std=0.02)


def manhattan(heads: int, side: int) -> Tensor:
    """A bias table that decays with the Manhattan distance: `-rate (|dy| + |dx|)`, `[(2 side - 1)², h]`.

    The rates are those of RMT (Fan et al., 2024), `-log(1 - 2^(-2 - 4 n / heads))` of head n: 0.29 for the first head,
    and less for every further one. Inside a window the table can learn any bias, so this is only where it starts.
    """
    offset = torch.arange(1.0 - side, side).abs()
    distance = (offset[:, None] + offset).flatten()
    rates = [-math.log1p(-(2.0 ** (-2 - 4 * head / heads))) for head in range(heads)]
    return -distance[:, None] * torch.tensor(rates)


BIAS_INITS: dict[str, Callable[[int, int], Tensor]] = {"normal": normal, "manhattan": manhattan}
"""Initial values of a group's relative position bias table, from the number of heads and the side of a window."""

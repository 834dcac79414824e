"""Token mixers without weights (MetaFormer; Yu et al., 2022): what a block does with next to no mixing of tokens.

They are floors: a mixer that learns something must be better.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.ops.cpu_tiles import tiles
from swincli.ops.depthwise import halos
from swincli.ops.instance_norm import NormaliseTile
from swincli.ops.windows import WindowGrid
from swincli.recipe.schema import ModelSection

WHOLE = 16
"""Side of the maps that `RandomMixer` mixes as a whole."""

WINDOW = 8
"""Side of its windows in larger maps."""


class IdentityMixer(nn.Module):
    """`identity`: the normalised map itself, so that a block adds it to its input."""

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        return x

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`out = x + normalise(x)`, tile by tile."""
        for tile in tiles(x, x.shape[-1]):
            torch.add(tile.read(x), normalise(tile.read(x), tile.images), out=tile.read(out))


class PoolMixer(nn.Module):
    """`pool`: the mean of 3x3 positions, without those beyond the border, minus the position itself (PoolFormer).

    A constant map gives 0. So the beta of the AdaIN before it has no effect, and its gradient is exactly 0.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        return _means(x) - x

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`out = x + forward(normalise(x))`, tile by tile."""
        for halo in halos(x, x.shape[-1], reach=1):
            mixed = halo.inside(self(normalise(halo.read(x), halo.tile.images)))
            torch.add(halo.tile.read(x), mixed, out=halo.tile.read(out))


def _means(x: Tensor) -> Tensor:
    planes = x.permute(0, 3, 1, 2)
    return F.avg_pool2d(planes, 3, stride=1, padding=1, count_include_pad=False).permute(0, 2, 3, 1)


class RandomMixer(nn.Module):
    """`random`: a random matrix of positions by positions, the same for all channels, that is not trained.

    Its rows are softmaxes of uniform numbers in [0, 1), so it is close to the mean of all positions. Maps of 16 px have
    one matrix; in larger maps every 8x8 window is mixed by the same one. It is saved with the weights, and drawn with
    them from the recipe's seed.

    Args:
        resolution: Side of the map.
    """

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.side = WHOLE if resolution == WHOLE else WINDOW
        self.matrix: Tensor
        self.register_buffer("matrix", torch.rand(2 * [self.side**2]).softmax(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        grid = WindowGrid(self.side, 0)
        windows = grid.partition(x[:, :, :, None, None])[0]
        return grid.reverse(self.matrix @ windows).flatten(3)

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`out = x + forward(normalise(x))`, tile by tile."""
        for tile in tiles(x, x.shape[-1], multiple=self.side):
            torch.add(tile.read(x), self(normalise(tile.read(x), tile.images)), out=tile.read(out))


def of_random(config: ModelSection, resolution: int) -> int:
    """Multiply-adds of `random` for one image."""
    positions = WHOLE**2 if resolution == WHOLE else WINDOW**2
    return resolution**2 * positions * config.width_at(resolution)

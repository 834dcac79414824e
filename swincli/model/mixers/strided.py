"""Window attention on a map of half the side (EfficientFormerV2's strided attention: Li et al., 2023).

A depthwise 3x3 convolution with stride 2 makes the small map, which attends to itself. The result is upsampled, so it
has no detail. A depthwise 7x7 at full resolution adds detail. As in the source, an activation and a projection follow.

Unlike the source: no batch norm, values as wide as queries, no mixing of heads before and after the softmax (no fused
kernel can do that), and a bias for every offset instead of one for its absolute value, which makes every layer
mirror-symmetric. The values' linear layer runs on the small map only: the 7x7 reads the mixer's input, and the last
projection mixes its channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.attention import GroupedAttention
from swincli.model.mixers.depthwise_kernel import centred_kernel
from swincli.ops.cpu_tiles import Tile, tiles
from swincli.ops.depthwise import depthwise
from swincli.ops.instance_norm import NormaliseTile
from swincli.ops.strided_depthwise import depthwise_rows, depthwise_tiled, strided_depthwise
from swincli.recipe.networks import ModelSection

STRIDE = 2
REDUCE, DETAIL = 3, 7  # sides of the kernels
WHOLE = 16
"""Small maps up to this side attend as a whole."""


def side_on_the_small_map(resolution: int, window: int) -> int:
    """Side of the windows on the map of half the side."""
    small = resolution // STRIDE
    return small if small <= WHOLE else window


class StridedAttention(nn.Module):
    """Mixer `strided`: attention on a map of half the side, a depthwise 7x7 beside it.

    Args:
        channels: Channels in and out.
        heads: Heads of all groups together.
        side: Side of a window on the small map, at most that of the small map.
        resolution: Side of the map.
        relative_bias: Whether to learn a bias for every relative position in a window.
        kv_heads: As of `GroupedAttention`.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        side: int,
        resolution: int,
        *,
        relative_bias: bool = True,
        kv_heads: int | None = None,
    ) -> None:
        super().__init__()
        self.reduce = nn.Parameter(centred_kernel(channels, REDUCE))
        self.detail = nn.Parameter(centred_kernel(channels, DETAIL))
        self.windows = GroupedAttention(
            channels, heads, side, resolution // STRIDE, relative_bias=relative_bias, kv_heads=kv_heads
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        small = strided_depthwise(x, self.reduce, STRIDE)
        attended = self.windows.attend(self.windows.project(small))
        return self._project(_upsampled(attended), depthwise(x, self.detail, None))

    def _project(self, attended: Tensor, detail: Tensor) -> Tensor:
        out: Tensor = self.windows.proj(F.gelu(attended + detail))
        return out

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`out = x + forward(normalise(x))`, tile by tile and without autograd.

        Only two maps of half the side are kept whole.

        Args:
            x: `[B, H, W, C]`.
            normalise: Normalises one tile of x.
            out: Memory for the result, of the shape of x.
        """
        small = depthwise_tiled(x, normalise, self.reduce, STRIDE)
        attended = torch.empty_like(small)
        self.windows.attend_tiled(small, lambda values, images: values, attended)  # noqa: ARG005
        for tile in tiles(x, 2 * x.shape[-1], multiple=STRIDE):
            values = self._project(_upsampled_rows(attended, tile), depthwise_rows(x, normalise, tile, self.detail, 1))
            tile.write(out, tile.read(x) + values)


def _upsampled(x: Tensor) -> Tensor:
    """`[B, H, W, C] -> [B, 2H, 2W, C]`, bilinear."""
    large = F.interpolate(x.permute(0, 3, 1, 2), scale_factor=STRIDE, mode="bilinear", align_corners=False)
    return large.permute(0, 2, 3, 1)


def _upsampled_rows(x: Tensor, tile: Tile) -> Tensor:
    """The rows of `_upsampled(x)` that a tile of it has."""
    first, last = tile.rows.start // STRIDE, tile.rows.stop // STRIDE
    top, bottom = max(0, first - 1), min(x.shape[1], last + 1)
    rows = _upsampled(x[tile.images, top:bottom])
    return rows[:, STRIDE * (first - top) : STRIDE * (last - top)]


def build(config: ModelSection, resolution: int, channels: int, index: int) -> StridedAttention:  # noqa: ARG001
    """The mixer by a recipe's [model] section."""
    return StridedAttention(
        channels,
        config.heads_at(resolution),
        side_on_the_small_map(resolution, config.window_at(resolution)),
        resolution,
        relative_bias=config.relative_bias,
        kv_heads=config.kv_heads_at(resolution),
    )


def multiply_adds(config: ModelSection, resolution: int) -> int:
    """Two depthwise kernels, attention and its projections on a quarter of the positions, and the last projection."""
    channels, side = config.width_at(resolution), side_on_the_small_map(resolution, config.window_at(resolution))
    keys = 2 * config.kv_heads_at(resolution) * channels // config.heads_at(resolution)
    small = REDUCE**2 * channels + channels**2 + channels * keys + 2 * side**2 * channels
    return resolution**2 * (DETAIL**2 * channels + channels**2) + (resolution // STRIDE) ** 2 * small

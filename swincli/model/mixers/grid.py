"""Windows and a strided grid: multi-axis attention (HiT, Zhao et al., 2021; MaxViT, Tu et al., 2022).

Half of the heads attend in windows, the other half to the positions of a regular grid over the whole map. In the first
block of a resolution the windows are regular, in the second shifted, so that their borders move.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from swincli.model.blocks.attention import WindowAttention, attend_in_windows
from swincli.model.mixers.head_groups import HeadGroups
from swincli.ops.cpu_tiles import on_gpu_path, tiles
from swincli.ops.instance_norm import NormaliseTile
from swincli.ops.lattice import Lattice
from swincli.ops.lattice_attention import attend_tiled, lattice_attention
from swincli.ops.window_attention import attend_tile, attention_tiles
from swincli.recipe.networks import ModelSection


class GridAttention(nn.Module):
    """Multi-head attention, half of the heads in windows and half on a grid of as many positions over the whole map.

    The positions of a grid are `H / side` apart. So the grid stretches with the map: nothing is out of range of its
    bias, whose offsets count steps of the grid. It has no mask. If the map is no larger than a window, both halves are
    full attention.

    Args:
        channels: Channels in and out.
        heads: Heads of both halves together.
        side: Side of a window and of the grid, at most that of the map.
        resolution: Side of the map.
        block: Index of the block at its resolution; in every second one the windows are shifted.
        kv_heads: Heads of k and v of both halves together; None for as many as of q.
        relative_bias: Whether to learn a bias for every relative position.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        side: int,
        resolution: int,
        *,
        block: int = 0,
        kv_heads: int | None = None,
        relative_bias: bool = True,
    ) -> None:
        super().__init__()
        half, dim = heads // 2, channels // heads
        self.groups = HeadGroups(dim, (half, half), heads // (kv_heads or heads))
        self.qkv = nn.Linear(channels, self.groups.width)
        self.proj = nn.Linear(channels, channels)
        shift = side // 2 if block % 2 and side < resolution else 0
        self.halves = nn.ModuleList(WindowAttention(half, dim, side, each, relative_bias) for each in (shift, 0))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        windows, grid = self._halves
        in_windows, on_grid = self.groups.split(self.qkv(x))
        if on_gpu_path(on_grid):  # there the windows are a copy; a view of the rest would keep all of q, k and v
            on_grid = on_grid.clone()
        lattice = _grid_of(x, grid.side)
        attended = [
            attend_in_windows(in_windows.unsqueeze(4), [windows]),
            lattice_attention(on_grid, lattice, _bias_of(grid)).flatten(3),
        ]
        out: Tensor = self.proj(torch.cat(attended, dim=3))
        return out

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`out = x + forward(normalise(x))`, tile by tile and without autograd.

        Args:
            x: `[B, H, W, C]`.
            normalise: Normalises one tile of x.
            out: Memory for the result, of the shape of x.
        """
        windows, grid = self._halves
        in_windows, on_grid = out.unflatten(-1, (2, windows.heads, windows.head_dim)).unbind(3)
        window_grid, bias = windows.grid, windows.bias()
        first, second = (self.groups.projection_of(self.qkv, half) for half in range(2))
        for tile in attention_tiles(x, windows.heads, window_grid):
            qkv = first(normalise(tile.read(x, window_grid.shift), tile.images))
            attend_tile(qkv, tile, window_grid, bias, in_windows)

        def project(rows: Tensor, images: slice) -> Tensor:
            return second(normalise(rows, images))

        attend_tiled(x, project, _grid_of(x, grid.side), _bias_of(grid), on_grid)
        for tile in tiles(x, x.shape[-1]):
            tile.write(out, tile.read(x) + self.proj(tile.read(out)))

    @property
    def _halves(self) -> tuple[WindowAttention, WindowAttention]:
        windows, grid = self.halves
        return windows, grid  # type: ignore[return-value]


def _grid_of(x: Tensor, side: int) -> Lattice:
    return Lattice(side, dilation=x.shape[1] // side)


def _bias_of(grid: WindowAttention) -> Tensor | None:
    """The bias of a grid, the same for all positions: `[1, 1, h, side², side²]`."""
    bias = grid.bias()
    return None if bias is None else bias[None, None]


def build(config: ModelSection, resolution: int, channels: int, index: int) -> nn.Module:
    """The mixer of a block."""
    return GridAttention(
        channels,
        config.heads_at(resolution),
        config.window_at(resolution),
        resolution,
        block=index,
        kv_heads=config.kv_heads_at(resolution),
        relative_bias=config.relative_bias,
    )


def multiply_adds(config: ModelSection, resolution: int) -> int:
    """MACs for one image: the projections, and the products of each position with its window or its grid."""
    channels, side = config.width_at(resolution), config.window_at(resolution)
    keys = 2 * config.kv_heads_at(resolution) * channels // config.heads_at(resolution)
    return resolution**2 * (2 * channels**2 + channels * keys + 2 * side**2 * channels)

"""Neighbourhood attention (Hassani et al., 2023) with a dilation of its own for every head group.

The dilations are StyleNAT's idea (Walton et al., 2022). Every position attends to the k x k nearest ones, d apart. At a
border the neighbourhood moves inwards, so there are always k² keys. It is exact and in plain PyTorch: tiles of queries
with the keys around them, masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.mixers.head_groups import HeadGroups
from swincli.ops.constants import cached_constant
from swincli.ops.cpu_tiles import tiles
from swincli.ops.instance_norm import NormaliseTile
from swincli.ops.lattice import Lattice
from swincli.ops.lattice_attention import attend_tiled, lattice_attention
from swincli.recipe.networks import ModelSection

SMALLEST = 8
"""Side of the smallest map: a neighbourhood of 7 x 7 fits into it."""


def ends(most: int) -> tuple[int, ...]:
    """Dilation 1 and the largest one, as in StyleNAT's networks for faces."""
    return (1,) if most == 1 else (1, most)


def powers(most: int) -> tuple[int, ...]:
    """All powers of two from 1 to the largest dilation, as in StyleNAT's network for churches."""
    return tuple(2**power for power in range(most.bit_length()))


DILATIONS: dict[str, Callable[[int], tuple[int, ...]]] = {"na": ends, "na-all": powers}
"""The dilations of a mixer's head groups, from the largest: the side of the map / that of a window."""


@cached_constant
def table_rows(kernel: int, side: int, whole: bool, *, device: torch.device | None = None) -> Tensor:
    """`neighbour_index`, with 0 for keys outside the neighbourhood."""
    return neighbour_index(kernel, side, whole, device=device).clamp(min=0)


@cached_constant
def is_outside(kernel: int, side: int, whole: bool, *, device: torch.device | None = None) -> Tensor:
    """Whether a key is outside the neighbourhood of a query, bool in the shape of `neighbour_index`."""
    return neighbour_index(kernel, side, whole, device=device) < 0


def neighbour_index(kernel: int, side: int, whole: bool, *, device: torch.device | None = None) -> Tensor:
    """Entry of the bias table for every pair of a query and a key of a tile, -1 for keys outside the neighbourhood.

    The table is `[2 kernel - 1, 2 kernel - 1]`; a pair's entry along each axis is `key - query + kernel - 1`.

    Args:
        kernel: Side k of a neighbourhood, odd and less than `side`.
        side: Side of a tile of queries.
        whole: Whether a tile is the whole map; else the keys reach k // 2 beyond the tile.
        device: The device.

    Returns:
        int64 `[r, c, side², keys²]`: r and c are 1 for a whole map, else 3, for the first, the inner and the last tile.
    """
    radius = kernel // 2
    query = torch.arange(side, device=device)
    key = torch.arange(side, device=device) if whole else torch.arange(-radius, side + radius, device=device)
    low, high = query.clamp(min=radius), query.clamp(max=side - 1 - radius)
    centres = torch.stack([query.clamp(radius, side - 1 - radius)] if whole else [low, query, high])
    entry = key - query[:, None] + kernel - 1
    inside = (key - centres[:, :, None]).abs() <= radius  # [classes, side, keys]
    pairs = entry[:, None, :, None] * (2 * kernel - 1) + entry[:, None, :]  # [side, side, keys, keys]
    near = inside[:, None, :, None, :, None] & inside[:, None, :, None, :]  # [r, c, side, side, keys, keys]
    return pairs.where(near, -1).flatten(4, 5).flatten(2, 3)


class Neighbourhoods(nn.Module):
    """One head group: its neighbourhoods and their bias. `NeighbourhoodAttention` computes the attention.

    Args:
        heads: Number of heads.
        kernel: Side k of a neighbourhood, odd.
        side: Side of a tile of queries.
        dilation: Step between neighbours, in positions.
        relative_bias: Whether to learn a bias for every relative position, `[h, 2k - 1, 2k - 1]`.
    """

    def __init__(self, heads: int, kernel: int, side: int, dilation: int, relative_bias: bool = True) -> None:
        super().__init__()
        self.heads, self.kernel, self.side, self.dilation = heads, kernel, side, dilation
        length = 2 * kernel - 1
        table = nn.init.trunc_normal_(torch.empty(heads, length, length), std=0.02) if relative_bias else None
        self.position_bias = None if table is None else nn.Parameter(table)

    def lattice(self, height: int) -> Lattice:
        """The tiles on a map of this height. A tile that is the whole interleaved map needs no more keys."""
        whole = height == self.side * self.dilation
        return Lattice(self.side, self.dilation, 0 if whole else self.kernel // 2)

    def bias(self, lattice: Lattice, like: Tensor) -> Tensor:
        """The bias of every pair for `lattice_attention`, -inf outside the neighbourhood: `[r, c, h, side², keys²]`.

        `like` gives the device, and the dtype if there is no table.
        """
        tile = self.kernel, self.side, not lattice.halo
        outside = is_outside(*tile, device=like.device)[:, :, None].expand(-1, -1, self.heads, -1, -1)
        if self.position_bias is None:
            return like.new_zeros(outside.shape).masked_fill(outside, float("-inf"))
        entries = F.embedding(table_rows(*tile, device=like.device), self.position_bias.flatten(1).t())
        return entries.permute(0, 1, 4, 2, 3).masked_fill(outside, float("-inf")).contiguous()


class NeighbourhoodAttention(nn.Module):
    """Multi-head neighbourhood attention: one projection to q, k and v, then each head group with its own dilation.

    Heads are divided evenly over the dilations; the last groups take what remains.

    Args:
        channels: Channels in and out.
        heads: Heads of all groups together.
        side: Side of a tile of queries; a neighbourhood is `side - 1` wide. Maps are multiples of `side` x dilation.
        dilations: The dilation of every head group.
        relative_bias: Whether to learn a bias for every relative position.
    """

    def __init__(
        self, channels: int, heads: int, side: int, dilations: Sequence[int] = (1,), *, relative_bias: bool = True
    ) -> None:
        super().__init__()
        count = len(dilations)
        each = [heads // count + (index >= count - heads % count) for index in range(count)]
        self.split = HeadGroups(channels // heads, tuple(each))
        self.qkv = nn.Linear(channels, self.split.width)
        self.proj = nn.Linear(channels, channels)
        self.groups = nn.ModuleList(
            Neighbourhoods(number, side - 1, side, dilation, relative_bias)
            for number, dilation in zip(each, dilations, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        attended = []
        for group, qkv in zip(self.head_groups, self.split.split(self.qkv(x)), strict=True):
            lattice = group.lattice(x.shape[1])
            attended.append(lattice_attention(qkv, lattice, group.bias(lattice, x)))
        out: Tensor = self.proj(torch.cat(attended, dim=3).flatten(3))
        return out

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`out = x + forward(normalise(x))`, tile by tile and without autograd.

        Args:
            x: `[B, H, W, C]`.
            normalise: Normalises one tile of x.
            out: Memory for the result, of the shape of x.
        """
        results = out.unflatten(-1, (-1, self.split.dim)).split(self.split.heads, dim=3)
        for number, (group, result) in enumerate(zip(self.head_groups, results, strict=True)):
            projection = self.split.projection_of(self.qkv, number)

            def project(rows: Tensor, images: slice, projection: Callable[[Tensor], Tensor] = projection) -> Tensor:
                return projection(normalise(rows, images))

            lattice = group.lattice(x.shape[1])
            attend_tiled(x, project, lattice, group.bias(lattice, x), result)
        for tile in tiles(x, x.shape[-1]):
            tile.write(out, tile.read(x) + self.proj(tile.read(out)))

    @property
    def head_groups(self) -> list[Neighbourhoods]:
        """The head groups; their parameters are named `groups.*` in state dicts."""
        groups: list[Neighbourhoods] = list(self.groups)  # type: ignore[arg-type]
        return groups


def dilations_at(config: ModelSection, resolution: int) -> tuple[int, ...]:
    """The dilation of every head group at a resolution; empty if its mixer is another one or the map is too small."""
    find = DILATIONS.get(config.mixer_at(resolution))
    return () if find is None or resolution < SMALLEST else find(resolution // config.window_at(resolution))


def build(config: ModelSection, resolution: int, channels: int, index: int) -> nn.Module:  # noqa: ARG001
    """The mixer of a block."""
    heads, side, dilations = config.heads_at(resolution), config.window_at(resolution), dilations_at(config, resolution)
    return NeighbourhoodAttention(channels, heads, side, dilations, relative_bias=config.relative_bias)


def multiply_adds(config: ModelSection, resolution: int) -> int:
    """MACs for one image: the projections, and the products of each position with the keys of its tile."""
    channels, heads = config.width_at(resolution), config.heads_at(resolution)
    mixer = build(config, resolution, channels, 0)
    assert isinstance(mixer, NeighbourhoodAttention)
    keys = sum(group.heads * group.lattice(resolution).keys_side ** 2 for group in mixer.head_groups)
    return resolution**2 * (4 * channels**2 + 2 * keys * channels // heads)

"""Window attention to strided keys (CvT: Wu et al., 2021), in regular and shifted windows as in double attention.

Keys and values come from a depthwise 3x3 convolution with stride 2: a window has a quarter as many keys as queries. So
windows of 16 pixels have 64 keys, the cost of double attention in windows of 8, and reach twice as far. Unlike CvT, the
logits are scaled by the head's width, and there is no batch norm.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.mixers.depthwise_kernel import centred_kernel
from swincli.ops.constants import cached_constant
from swincli.ops.cpu_tiles import Tile, tiles
from swincli.ops.dot_product_attention import dot_product_attention
from swincli.ops.instance_norm import NormaliseTile
from swincli.ops.strided_depthwise import depthwise_tiled, strided_depthwise
from swincli.recipe.networks import ModelSection

KERNEL = 3


@cached_constant
def strided_index(side: int, stride: int, *, device: torch.device | None = None) -> Tensor:
    """Row of the bias table for every query and key of a window: int64 `[side², (side / stride)²]`.

    With n = side - stride, entry (q, k) is `(dy + n) (n + side) + dx + n` for the offset (dy, dx) from `stride k` to q.
    For a stride of 1 it is Swin's.
    """
    queries, keys = torch.arange(side, device=device), torch.arange(0, side, stride, device=device)
    offset = queries[:, None] - keys[None] + side - stride  # [side, side / stride]
    index = offset[:, None, :, None] * (2 * side - stride) + offset[None, :, None, :]
    return index.reshape(side**2, -1)


@cached_constant
def strided_seam(side: int, stride: int, columns: int, *, device: torch.device | None = None) -> Tensor:
    """What is added to the logits of a row of shifted windows: 0, or -inf between opposite sides of the image.

    float32 `[2, columns, 1, side², (side / stride)²]`; the second of the two is for the lowest row.
    """
    queries, keys = (torch.arange(0, side, step, device=device) >= side - side // 2 for step in (1, stride))
    apart = queries[:, None] != keys[None]  # [side, side / stride]
    mask = torch.zeros(2, columns, 1, side, side, side // stride, side // stride, device=device)
    mask[:, -1].masked_fill_(apart[None, :, None, :], float("-inf"))
    mask[1].masked_fill_(apart[:, None, :, None], float("-inf"))
    return mask.flatten(5).flatten(3, 4)


def rows_of_windows(x: Tensor, side: int) -> Tensor:
    """Cut a map into rows of windows: `[B, H, W, h, d] -> [nH, B, nW h, side², d]`."""
    split = x.unflatten(2, (-1, side)).unflatten(1, (-1, side))
    rows: Tensor = split.permute(1, 0, 3, 5, 2, 4, 6).flatten(4, 5).flatten(2, 3)
    return rows


def map_of_rows(rows: Tensor, side: int, heads: int) -> Tensor:
    """The reverse of `rows_of_windows`: `[nH, B, nW h, side², d] -> [B, H, W, h, d]`."""
    split = rows.unflatten(3, (side, side)).unflatten(2, (-1, heads))
    whole: Tensor = split.permute(1, 0, 4, 2, 5, 3, 6).flatten(3, 4).flatten(1, 2)
    return whole


class StridedKeyWindows(nn.Module):
    """One head group: its windows and its bias for every offset between a query and `stride` times a key.

    Args:
        heads: Number of heads.
        side: Side of a window of queries.
        stride: Stride of the keys.
        shift: Shift of the windows. The map wraps around, and the seam is masked.
        relative_bias: Whether to learn a bias.
    """

    def __init__(self, heads: int, side: int, stride: int, shift: int, relative_bias: bool) -> None:
        super().__init__()
        self.heads, self.side, self.stride, self.shift = heads, side, stride, shift
        table = nn.init.trunc_normal_(torch.empty((2 * side - stride) ** 2, heads), std=0.02) if relative_bias else None
        self.position_bias = None if table is None else nn.Parameter(table)

    def bias_of_rows(self, columns: int, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
        """What is added to the logits of a row of windows, and of the lowest row: `[columns h, side², keys]` each."""
        row = None
        if self.position_bias is not None:
            bias = F.embedding(strided_index(self.side, self.stride, device=device), self.position_bias)
            row = bias.permute(2, 0, 1).expand(columns, -1, -1, -1)
        if self.shift:
            seam = strided_seam(self.side, self.stride, columns, device=device)
            both = seam.expand(-1, -1, self.heads, -1, -1) if row is None else row + seam
            return both[0].flatten(0, 1), both[1].flatten(0, 1)
        return (None, None) if row is None else 2 * (row.flatten(0, 1),)

    def forward(
        self, q: Tensor, kv: Tensor, biases: tuple[Tensor | None, Tensor | None], *, at_bottom: bool = True
    ) -> Tensor:
        """Attention in rows of windows that are moved up by the shift: `[b, rows, W, h, d] -> [b, rows, W, h, d]`.

        Args:
            q: Queries.
            kv: Keys and values, `[b, rows / stride, W / stride, 2, h, d]`.
            biases: The result of `bias_of_rows`.
            at_bottom: Whether the last row of windows is at the lower border of the map.
        """
        across = self.shift // self.stride
        queries = rows_of_windows(q.roll(-self.shift, 2) if self.shift else q, self.side)
        keys, values = (
            rows_of_windows(part, self.side // self.stride)
            for part in (kv.roll(-across, 2) if self.shift else kv).unbind(3)
        )
        lowest = 1 if at_bottom and self.shift else 0
        sizes = [len(queries) - lowest, lowest]
        results = [
            dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), bias)
            for q, k, v, bias in zip(*(each.split(sizes) for each in (queries, keys, values)), biases, strict=True)
            if len(q)
        ]
        attended = torch.cat(results) if len(results) > 1 else results[0]
        out = map_of_rows(attended.view(queries.shape), self.side, self.heads)
        return out.roll(self.shift, 2) if self.shift else out


class StridedKeyAttention(nn.Module):
    """Mixer `kv2`: queries of every pixel attend to strided keys; half of the heads in shifted windows.

    Args:
        channels: Channels in and out.
        heads: Heads of both groups together, even.
        side: Side of a window of queries, at most that of the map.
        resolution: Side of the map.
        relative_bias: Whether to learn a bias for every relative position in a window.
        kv_heads: As of `GroupedAttention`.
        stride: Stride of keys and values; a stride of 1 with a kernel that is 1 in its centre is double attention.
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
        stride: int = 2,
    ) -> None:
        super().__init__()
        shifts = (0, side // 2 if side < resolution else 0)
        self.group_kv_heads = (kv_heads or heads) // len(shifts)
        self.group_heads, self.head_dim, self.stride = heads // len(shifts), channels // heads, stride
        self.reduce = nn.Parameter(centred_kernel(channels, KERNEL))
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * len(shifts) * self.group_kv_heads * self.head_dim)
        self.proj = nn.Linear(channels, channels)
        self.halves = nn.ModuleList(
            StridedKeyWindows(self.group_heads, side, stride, shift, relative_bias) for shift in shifts
        )

    @property
    def head_groups(self) -> list[StridedKeyWindows]:
        """The head groups: regular and shifted windows."""
        groups: list[StridedKeyWindows] = list(self.halves)  # type: ignore[arg-type]
        return groups

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        groups = (len(self.halves), self.group_heads, self.head_dim)
        q = self.q(x).unflatten(-1, groups).unbind(3)
        kv = self._repeated(self.kv(strided_depthwise(x, self.reduce, self.stride)), len(self.halves)).unbind(4)
        attended = [self._attend(group, *given) for group, *given in zip(self.head_groups, q, kv, strict=True)]
        out: Tensor = self.proj(torch.stack(attended, dim=3).flatten(3))
        return out

    def _repeated(self, kv: Tensor, groups: int) -> Tensor:
        """Keys and values of every head: `[B, H, W, features] -> [B, H, W, 2, G, h, d]`."""
        by_heads = kv.unflatten(-1, (2, groups, self.group_kv_heads, 1, self.head_dim))
        served = self.group_heads // self.group_kv_heads
        out: Tensor = (by_heads.expand(*6 * (-1,), served, -1) if served > 1 else by_heads).flatten(5, 6)
        return out

    def _attend(self, group: StridedKeyWindows, q: Tensor, kv: Tensor) -> Tensor:
        """Attention of one group on whole maps: `[B, H, W, h, d] -> [B, H, W, h, d]`."""
        up = group.shift
        biases = group.bias_of_rows(q.shape[2] // group.side, q.device)
        out: Tensor = group(q.roll(-up, 1), kv.roll(-up // self.stride, 1), biases) if up else group(q, kv, biases)
        return out.roll(up, 1) if up else out

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`out = x + forward(normalise(x))`, tile by tile and without autograd.

        Only the strided map, a quarter of x, is kept whole.

        Args:
            x: `[B, H, W, C]`.
            normalise: Normalises one tile of x.
            out: Memory for the result, of the shape of x.
        """
        strided = depthwise_tiled(x, normalise, self.reduce, self.stride)
        results = out.unflatten(-1, (len(self.halves), self.group_heads, self.head_dim)).unbind(3)
        for number, (group, result) in enumerate(zip(self.head_groups, results, strict=True)):
            self._group_tiled(group, number, (x, strided), normalise, result)
        for tile in tiles(x, x.shape[-1]):
            tile.write(out, tile.read(x) + self.proj(tile.read(out)))

    def _group_tiled(
        self,
        group: StridedKeyWindows,
        number: int,
        maps: tuple[Tensor, Tensor],
        normalise: NormaliseTile,
        result: Tensor,
    ) -> None:
        """Write the attention of one head group, `[B, H, W, h, d]`, from x and the strided map."""
        x, strided = maps
        shape, stride, groups = (self.group_heads, self.head_dim), self.stride, len(self.halves)
        queries = [part.unflatten(0, (groups, -1))[number] for part in (self.q.weight, self.q.bias)]
        keys = [part.unflatten(0, (2, groups, -1))[:, number].flatten(0, 1) for part in (self.kv.weight, self.kv.bias)]
        biases = group.bias_of_rows(x.shape[2] // group.side, x.device)
        for tile in tiles(x, max(x.shape[-1], self.group_heads * group.side**2 // stride**2), multiple=group.side):
            rows = Tile(tile.images, slice(tile.rows.start // stride, tile.rows.stop // stride), tile.at_bottom)
            q = F.linear(normalise(tile.read(x, group.shift), tile.images), *queries).unflatten(-1, shape)
            kv = self._repeated(F.linear(rows.read(strided, group.shift // stride), *keys), 1).squeeze(4)
            tile.write(result, group(q, kv, biases, at_bottom=tile.at_bottom), group.shift)


def build(config: ModelSection, resolution: int, channels: int, index: int) -> StridedKeyAttention:  # noqa: ARG001
    """The mixer by a recipe's [model] section."""
    return StridedKeyAttention(
        channels,
        config.heads_at(resolution),
        config.window_at(resolution),
        resolution,
        relative_bias=config.relative_bias,
        kv_heads=config.kv_heads_at(resolution),
    )


def multiply_adds(config: ModelSection, resolution: int) -> int:
    """Projections of queries and results, those of a quarter as many keys, their kernels, and the attention."""
    channels, window = config.width_at(resolution), config.window_at(resolution)
    keys = 2 * config.kv_heads_at(resolution) * channels // config.heads_at(resolution)
    of_keys = channels * keys + KERNEL**2 * channels + 2 * window**2 * channels
    return resolution**2 * (8 * channels**2 + of_keys) // 4

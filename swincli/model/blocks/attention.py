"""Window attention of a block: StyleSwin's double attention (section 3.1) by default, or Swin's alternating windows.

In double attention, half of the heads attend in regular windows and half in shifted ones. `ATTENTIONS` is the table of
kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.score_mask import BIAS_INITS, SCORE_MASKS
from swincli.ops.constants import cached_constant
from swincli.ops.cpu_tiles import tiles
from swincli.ops.fused_attention import fused_window_attention, kernel_is_right, use_fused
from swincli.ops.instance_norm import NormaliseTile
from swincli.ops.window_attention import attend_tile, attention_tiles, attention_weights, window_attention
from swincli.ops.windows import WindowGrid
from swincli.recipe.schema import ModelSection

Shifts = Callable[[int, int], tuple[int, ...]]


@cached_constant
def relative_index(side: int, *, device: torch.device | None = None) -> Tensor:
    """Row of the relative position bias table for every pair of positions: int64 `[side², side²]` (Liu et al., 2021).

    Entry (q, k) is `(dy + side - 1) (2 side - 1) + dx + side - 1` for the offset (dy, dx) from k to q.
    """
    y, x = torch.meshgrid(*2 * [torch.arange(side, device=device)], indexing="ij")
    position = torch.stack([y.flatten(), x.flatten()])
    offset = position[:, :, None] - position[:, None, :] + side - 1
    return offset[0] * (2 * side - 1) + offset[1]


def stacked_bias(tables: Tensor, side: int) -> Tensor:
    """The bias of every pair of positions by the tables of all groups, `[G, (2 side - 1)², h] -> [G, h, side², side²]`.

    It is that of `WindowAttention.bias`, with a gradient that a GPU makes without a sort.
    """
    if torch.compiler.is_compiling():  # the compiler makes the gradient itself
        return _bias_of_pairs(tables, side)
    out: Tensor = _ToeplitzBias.apply(tables, side)  # type: ignore[no-untyped-call]
    return out


def _bias_of_pairs(tables: Tensor, side: int) -> Tensor:
    rows = relative_index(side, device=tables.device).flatten()
    pairs: Tensor = tables.transpose(1, 2).index_select(2, rows).unflatten(2, (side**2, side**2))
    return pairs


class _ToeplitzBias(torch.autograd.Function):
    """Rows of bias tables by `relative_index`.

    The tables' gradient is that of a view of them, of every window of side x side entries. It needs no sort of the
    rows, as an embedding's does on a GPU, and always adds in the same order.
    """

    @staticmethod
    def forward(ctx: Any, tables: Tensor, side: int) -> Tensor:
        ctx.side = side
        return _bias_of_pairs(tables, side)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        side = ctx.side
        length = 2 * side - 1
        grad = grad_outputs[0].unflatten(3, (side, side)).unflatten(2, (side, side))
        grad = grad.flip((4, 5))  # entry (q, k) is at q + side - 1 - k, along y and along x
        columns = torch.ops.aten.unfold_backward(grad, [*grad.shape[:3], length, side], 3, side, 1)
        table = torch.ops.aten.unfold_backward(columns, [*grad.shape[:2], length, length], 2, side, 1)
        return table.flatten(2).transpose(1, 2).contiguous(), None


class WindowAttention(nn.Module):
    """One head group: its windows and its relative position bias. `GroupedAttention` computes the attention.

    Args:
        heads: Number of heads.
        head_dim: Channels of a head; the logits are scaled by its inverse square root.
        side: Side of a window.
        shift: Shift of the windows. The map wraps around, and the seam is masked.
        relative_bias: Whether to learn a bias for every relative position.
        bias_init: Its initial values, a key of `BIAS_INITS`.
        score_mask: What multiplies the logits, a key of `SCORE_MASKS`.
    """

    def __init__(
        self,
        heads: int,
        head_dim: int,
        side: int,
        shift: int,
        relative_bias: bool = True,
        *,
        bias_init: str = "normal",
        score_mask: str = "none",
    ) -> None:
        super().__init__()
        self.heads, self.head_dim, self.side, self.shift = heads, head_dim, side, shift
        self.position_bias = nn.Parameter(BIAS_INITS[bias_init](heads, side)) if relative_bias else None
        mask = SCORE_MASKS[score_mask]
        self.mask = mask(heads, side) if mask else None

    def bias(self) -> Tensor | None:
        """The bias of every pair of positions, `[h, side², side²]`; None without `relative_bias`."""
        if self.position_bias is None:
            return None
        index = relative_index(self.side, device=self.position_bias.device)
        return F.embedding(index, self.position_bias).permute(2, 0, 1).contiguous()

    def factors(self) -> Tensor | None:
        """What multiplies the logits of every pair of positions, `[h, side², side²]`; None without a mask."""
        return None if self.mask is None else self.mask()

    @property
    def grid(self) -> WindowGrid:
        """The windows of this group."""
        return WindowGrid(self.side, self.shift)

    def weights_of(self, qkv: Tensor, row: int, column: int) -> Tensor:
        """Attention weights of one query position, over the whole map: `[B, H, W, 3, h, d] -> [B, h, H, W]`.

        They are 0 outside the window of the position.
        """
        batch, height, width = qkv.shape[:3]
        side = self.side
        y, x = (row - self.shift) % height, (column - self.shift) % width
        q, k, _ = self.grid.partition(qkv)
        weights = attention_weights(q, k, self.bias(), self.grid, factors=self.factors())
        inside = weights[:, y // side, x // side, :, y % side * side + x % side]
        top, left = y // side * side, x // side * side
        over_all = inside.new_zeros(batch, self.heads, height, width)
        over_all[:, :, top : top + side, left : left + side] = inside.view(batch, self.heads, side, side)
        return over_all.roll((self.shift, self.shift), (2, 3))


def attend_in_windows(qkv: Tensor, groups: Sequence[WindowAttention], bias: Tensor | None = None) -> Tensor:
    """Attention of head groups, each in its own windows: `[B, H, W, 3, G, h, d] -> [B, H, W, G h d]`.

    `bias` is that of `biases_together`, if it is known. Masks of the logits need the logits in memory, so groups with
    masks take the plain way.
    """
    grids = [group.grid for group in groups]
    factors: list[Tensor] = [group.mask() for group in groups if group.mask is not None]
    if factors or not use_fused(qkv, grids):
        biases = [group.bias() for group in groups] if bias is None else list(bias)
        return window_attention(qkv, grids, biases, factors)
    tables: list[Tensor] = [group.position_bias for group in groups if group.position_bias is not None]
    if bias is None and tables:
        bias = stacked_bias(torch.stack(tables), grids[0].side)
    return fused_window_attention(qkv, grids, bias).flatten(3)


def biases_together(attentions: Sequence[GroupedAttention]) -> list[Tensor | None]:
    """The bias of each attention, `[G, h, side², side²]`, in one operation for all of a size, for GPUs.

    None for one without `relative_bias`.
    """
    by_size: dict[tuple[torch.Size, ...], list[int]] = {}
    for index, attention in enumerate(attentions):
        if sizes := tuple(table.shape for table in attention.bias_tables()):
            by_size.setdefault(sizes, []).append(index)
    biases: list[Tensor | None] = [None] * len(attentions)
    for indices in by_size.values():
        tables = [table for index in indices for table in attentions[index].bias_tables()]
        together = stacked_bias(torch.stack(tables), attentions[indices[0]].head_groups[0].side)
        for index, bias in zip(indices, together.unflatten(0, (len(indices), -1)).unbind(0), strict=True):
            biases[index] = bias
    return biases


def double(block: int, half: int) -> tuple[int, ...]:  # noqa: ARG001
    """Double attention: in every block, half of the heads in regular windows and half in shifted ones."""
    return (0, half)


def single(block: int, half: int) -> tuple[int, ...]:
    """Swin's attention (Liu et al., 2021): all heads in regular windows in one block, in shifted ones in the next."""
    return (half if block % 2 else 0,)


ATTENTIONS: dict[str, Shifts] = {"double": double, "single": single}
"""Shifts of a block's head groups, from the block's index at its resolution and half the side of a window."""


def describe_attention(config: ModelSection, device: torch.device, dtype: torch.dtype) -> str:
    """How a generator's window attention runs on CUDA, in words, after the self-test of the kernel; else empty.

    Args:
        config: The recipe's [model] section.
        device: The device.
        dtype: Precision of matrix products.
    """
    if device.type != "cuda":
        return ""
    if config.score_mask != "none":
        return f'plain attention: model.score_mask = "{config.score_mask}" multiplies the logits'
    widths = config.channels("g")
    shapes = {(width // config.heads_at(side), config.window_at(side)) for side, width in widths.items()}
    wrong = sorted({dim for dim, side in shapes if not kernel_is_right(device, dtype, dim, side)})
    if not wrong:
        return "fused attention, which agrees with the plain way"
    heads = "all heads" if wrong == sorted({dim for dim, _ in shapes}) else f"heads of {', '.join(map(str, wrong))}"
    return f"plain attention for {heads}: the fused kernel fails its self-test"


class GroupedAttention(nn.Module):
    """Multi-head window attention in head groups: one projection to q, k and v, then every group in its own windows.

    If the map is no larger than a window, all groups attend to the whole map without a shift.

    Args:
        channels: Channels in and out.
        heads: Heads of all groups together.
        side: Side of a window, at most that of the map.
        resolution: Side of the map.
        kind: A key of `ATTENTIONS`.
        block: Index of the block at its resolution.
        relative_bias: Whether to learn a bias for every relative position in a window.
        kv_heads: Heads of the keys and of the values, a divisor of `heads` and a multiple of the number of groups; None
            for `heads`. Each serves as many heads of the queries (multi-query attention, Shazeer, 2019; grouped-query
            attention, Ainslie et al., 2023).
        bias_init: Its initial values, a key of `BIAS_INITS`.
        score_mask: What multiplies the logits, a key of `SCORE_MASKS`.
        head_dim: Channels of a head; None for `channels / heads`. After pruning, the heads together are narrower than
            the map.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        side: int,
        resolution: int,
        *,
        kind: str = "double",
        block: int = 0,
        relative_bias: bool = True,
        kv_heads: int | None = None,
        bias_init: str = "normal",
        score_mask: str = "none",
        head_dim: int | None = None,
    ) -> None:
        super().__init__()
        shifts = ATTENTIONS[kind](block, side // 2 if side < resolution else 0)
        self.group_heads, self.head_dim = heads // len(shifts), head_dim or channels // heads
        self.inner = heads * self.head_dim
        self.group_kv_heads = (kv_heads or heads) // len(shifts)
        self.qkv = nn.Linear(channels, self.inner + 2 * len(shifts) * self.group_kv_heads * self.head_dim)
        self.proj = nn.Linear(self.inner, channels)
        self.halves = nn.ModuleList(
            WindowAttention(
                self.group_heads, self.head_dim, side, shift, relative_bias, bias_init=bias_init, score_mask=score_mask
            )
            for shift in shifts
        )

    @property
    def head_groups(self) -> list[WindowAttention]:
        """The head groups; their parameters are named `halves.*` in state dicts."""
        groups: list[WindowAttention] = list(self.halves)  # type: ignore[arg-type]
        return groups

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`; `bias` is that of `biases_together`, if it is known."""
        out: Tensor = self.proj(self.attend(self.project(x), bias))
        return out

    def attend(self, qkv: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attention without the last projection: `[B, H, W, 3, G, h, d] -> [B, H, W, G h d]`."""
        return attend_in_windows(qkv, self.head_groups, bias)

    def bias_tables(self) -> list[Tensor]:
        """The table of each head group, `[(2 side - 1)², h]`; none without `relative_bias`."""
        return [group.position_bias for group in self.head_groups if group.position_bias is not None]

    def groups_with_qkv(self, x: Tensor) -> list[tuple[WindowAttention, Tensor]]:
        """Every head group with its q, k and v: `[B, H, W, C] -> [B, H, W, 3, h, d]` each."""
        return list(zip(self.head_groups, self.project(x).unbind(4), strict=True))

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`out = x + forward(normalise(x))`, tile by tile and without autograd.

        Args:
            x: `[B, H, W, C]`.
            normalise: Normalises one tile of x.
            out: Memory for the result, of the shape of x.
        """
        self.attend_tiled(x, normalise, out)
        self.project_tiled(x, out)

    def project_tiled(self, x: Tensor, out: Tensor) -> None:
        """The last projection of what `attend_tiled` wrote, plus x."""
        for tile in tiles(x, x.shape[-1]):
            tile.write(out, tile.read(x) + self.proj(tile.read(out[..., : self.inner])))

    def attend_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor) -> None:
        """`add_tiled` without the last projection and without adding x: it writes the first channels of `out`.

        For every head group, only the rows of the projection that make its q, k and v are applied.
        """
        heads, dim = self.group_heads, self.head_dim
        results = out[..., : self.inner].unflatten(-1, (len(self.halves), heads, dim)).unbind(3)
        for number, (group, result) in enumerate(zip(self.head_groups, results, strict=True)):
            grid, position_bias, factors = group.grid, group.bias(), group.factors()
            weight, bias = self._rows(self.qkv.weight, number), self._rows(self.qkv.bias, number)
            for tile in attention_tiles(x, heads, grid):
                normal = normalise(tile.read(x, grid.shift), tile.images)
                qkv = self._separate(F.linear(normal, weight, bias), groups=1).squeeze(4)
                attend_tile(qkv, tile, grid, position_bias, result, factors)

    def project(self, x: Tensor) -> Tensor:
        """q, k and v: `[B, H, W, C] -> [B, H, W, 3, G, h, d]`. Keys and values of fewer heads are repeated."""
        return self._separate(self.qkv(x), groups=len(self.halves))

    def _rows(self, values: Tensor, group: int) -> Tensor:
        """The rows of the projection's weight or bias that make q, k and v of one head group."""
        groups = len(self.halves)
        query_rows = groups * self.group_heads * self.head_dim
        sizes = [query_rows, *2 * [(len(values) - query_rows) // 2]]
        return torch.cat([part.unflatten(0, (groups, -1))[group] for part in values.split(sizes)])

    def _separate(self, qkv: Tensor, groups: int) -> Tensor:
        """q, k and v of some groups, each by groups and heads: `[B, H, W, features] -> [B, H, W, 3, G, h, d]`."""
        heads, kv_heads, dim = self.group_heads, self.group_kv_heads, self.head_dim
        if kv_heads == heads:
            return qkv.view(*qkv.shape[:3], 3, groups, heads, dim)
        parts = qkv.split([groups * heads * dim, *2 * [groups * kv_heads * dim]], dim=-1)
        by_heads = [part.unflatten(-1, (groups, kv_heads, -1, dim)) for part in parts]
        return torch.stack([part.expand_as(by_heads[0]) for part in by_heads], dim=3).flatten(5, 6)

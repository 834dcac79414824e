"""Attention in windows; by default double attention, half of the heads in regular windows and half in shifted ones.

StyleSwin, section 3.1, "Double attention"; Swin's own, which double attention is compared with, is one row of a table.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.ops.constants import constant
from swincli.ops.cpu_tiles import parts
from swincli.ops.instance_norm import Normalise
from swincli.ops.window_attention import attend, attend_part, attention_weights, parts_of_group
from swincli.ops.windows import Windows

Shifts = Callable[[int, int], tuple[int, ...]]


@constant
def relative_index(side: int, *, device: torch.device | None = None) -> Tensor:
    """Row of the bias table for every pair of positions of a window: int64 `[side², side²]` (Liu et al., 2021).

    Entry (q, k) is `(dy + side - 1) (2 side - 1) + dx + side - 1` for the offset (dy, dx) from k to q.
    """
    y, x = torch.meshgrid(*2 * [torch.arange(side, device=device)], indexing="ij")
    position = torch.stack([y.flatten(), x.flatten()])
    offset = position[:, :, None] - position[:, None, :] + side - 1
    return offset[0] * (2 * side - 1) + offset[1]


class WindowAttention(nn.Module):
    """Multi-head attention inside windows, with a learned bias for every relative position.

    Args:
        heads: Heads.
        head_dim: Channels of a head; the logits are scaled by its inverse square root.
        side: Side of a window.
        shift: How far the windows are shifted up and left, with the image taken as a torus and masked at its seam.
        relative_bias: Whether there is that bias; without it a window's positions are told apart by their features.
    """

    def __init__(self, heads: int, head_dim: int, side: int, shift: int, relative_bias: bool = True) -> None:
        super().__init__()
        self.heads, self.head_dim, self.side, self.shift = heads, head_dim, side, shift
        table = nn.init.trunc_normal_(torch.empty((2 * side - 1) ** 2, heads), std=0.02) if relative_bias else None
        self.position_bias = None if table is None else nn.Parameter(table)

    def bias(self) -> Tensor | None:
        """The bias of every pair of positions, `[h, side², side²]`, where there is one."""
        if self.position_bias is None:
            return None
        index = relative_index(self.side, device=self.position_bias.device)
        return F.embedding(index, self.position_bias).permute(2, 0, 1).contiguous()

    @property
    def windows(self) -> Windows:
        """The windows that the heads see the map through."""
        return Windows(self.side, self.shift)

    def forward(self, qkv: Tensor) -> Tensor:
        """`[B, H, W, 3, h, d] -> [B, H, W, h d]`."""
        return attend(qkv.unsqueeze(4), [self.windows], [self.bias()])

    def weights_of(self, qkv: Tensor, row: int, column: int) -> Tensor:
        """What one position attends to, over the whole map: `[B, H, W, 3, h, d] -> [B, h, H, W]`.

        These are the weights of `forward`; outside the position's window they are 0.
        """
        batch, height, width = qkv.shape[:3]
        side = self.side
        y, x = (row - self.shift) % height, (column - self.shift) % width
        q, k, _ = self.windows.cut(qkv)
        inside = attention_weights(q, k, self.bias(), self.windows)[
            :, y // side, x // side, :, y % side * side + x % side
        ]
        top, left = y // side * side, x // side * side
        over_all = inside.new_zeros(batch, self.heads, height, width)
        over_all[:, :, top : top + side, left : left + side] = inside.view(batch, self.heads, side, side)
        return over_all.roll((self.shift, self.shift), (2, 3))


def double(block: int, half: int) -> tuple[int, ...]:  # noqa: ARG001
    """Half of the heads in regular windows, the other half in shifted ones, in every block."""
    return (0, half)


def single(block: int, half: int) -> tuple[int, ...]:
    """All heads in regular windows in one block, all in shifted ones in the next (Liu et al., 2021)."""
    return (half if block % 2 else 0,)


ATTENTIONS: dict[str, Shifts] = {"double": double, "single": single}
"""Shifts of a block's groups of heads, from the block's number at its resolution and half the side of a window."""


class GroupedAttention(nn.Module):
    """One projection to q, k and v; then every group of heads attends, with its share of the channels, in its windows.

    Where the map is no larger than a window all groups attend to all of it, without a shift.

    Args:
        channels: Channels in and out.
        heads: Heads of all groups together.
        side: Side of a window, at most that of the map.
        resolution: Side of the map.
        kind: A key of `ATTENTIONS`.
        block: Number of the block at its resolution.
        relative_bias: Whether positions of a window have a learned bias.
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
    ) -> None:
        super().__init__()
        shifts = ATTENTIONS[kind](block, side // 2 if side < resolution else 0)
        self.group_heads, self.head_dim = heads // len(shifts), channels // heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.halves = nn.ModuleList(
            WindowAttention(self.group_heads, self.head_dim, side, shift, relative_bias) for shift in shifts
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        attending = self._attending()
        windows, biases = [each.windows for each in attending], [each.bias() for each in attending]
        out: Tensor = self.proj(attend(self._qkv(x), windows, biases))
        return out

    def groups(self, x: Tensor) -> list[tuple[WindowAttention, Tensor]]:
        """Every group of heads with its q, k and v: `[B, H, W, C] -> [B, H, W, 3, h, d]` each."""
        return list(zip(self._attending(), self._qkv(x).unbind(4), strict=True))

    def add_in_parts(self, x: Tensor, normalise: Normalise, out: Tensor) -> None:
        """`out = x + forward(normalise(x))`, part by part and without a graph.

        Every group goes through its own windows, with the share of the projection that makes its q, k and v.

        Args:
            x: `[B, H, W, C]`.
            normalise: Of any positions of given images.
            out: Memory of the same shape for the result.
        """
        heads, dim, width = self.group_heads, self.head_dim, self.group_heads * self.head_dim
        weights = self.qkv.weight.view(3, len(self.halves), width, -1).unbind(1)
        biases = self.qkv.bias.view(3, len(self.halves), width).unbind(1)
        results = out.unflatten(-1, (len(self.halves), heads, dim)).unbind(3)
        for attend_in, weight, bias, result in zip(self._attending(), weights, biases, results, strict=True):
            windows, pairs = attend_in.windows, attend_in.bias()
            for part in parts_of_group(x, heads, windows):
                given = normalise(part.of(x, windows.shift), part.images)
                qkv = F.linear(given, weight.flatten(0, 1), bias.flatten()).unflatten(-1, (3, heads, dim))
                attend_part(qkv, part, windows, pairs, result)
        for part in parts(x, x.shape[-1]):
            part.put(out, part.of(x) + self.proj(part.of(out)))

    def _qkv(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, 3, G, h, d]`."""
        qkv: Tensor = self.qkv(x)
        return qkv.view(*x.shape[:3], 3, len(self.halves), self.group_heads, self.head_dim)

    def _attending(self) -> list[WindowAttention]:
        return [attend for attend in self.halves if isinstance(attend, WindowAttention)]

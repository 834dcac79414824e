"""Attention in windows; by default double attention, half of the heads in regular windows and half in shifted ones.

StyleSwin, section 3.1, "Double attention"; Swin's own, which double attention is compared with, is one row of a table.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.ops.constant import constant

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


@constant
def edge_masks(side: int, *, device: torch.device | None = None) -> Tensor:
    """Which pairs of a window at the border must not see each other after the shift: bool `[2, side², side²]`.

    The first mask is for the lower border, the second for the right one; true where query and key come from opposite
    sides of the image.
    """
    wrapped = torch.arange(side, device=device) >= side - side // 2
    both = torch.stack([wrapped.repeat_interleave(side), wrapped.repeat(side)])
    return both[:, :, None] != both[:, None, :]


def to_windows(qkv: Tensor, side: int) -> Tensor:
    """`[B, H, W, 3, h, d] -> [3, B, H/side, W/side, h, side², d]`, in one copy."""
    batch, height, width, _, heads, dim = qkv.shape
    split = qkv.reshape(batch, height // side, side, width // side, side, 3, heads, dim)
    return split.permute(5, 0, 1, 3, 6, 2, 4, 7).reshape(
        3, batch, height // side, width // side, heads, side * side, dim
    )


def from_windows(windows: Tensor, side: int) -> Tensor:
    """`[B, nH, nW, h, side², d] -> [B, nH side, nW side, h d]`."""
    batch, rows, columns, heads, _, dim = windows.shape
    split = windows.view(batch, rows, columns, heads, side, side, dim)
    return split.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, rows * side, columns * side, heads * dim)


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
        return F.embedding(index, self.position_bias).permute(2, 0, 1)

    def windows(self, qkv: Tensor) -> tuple[Tensor, ...]:
        """q, k and v of every (shifted) window: `[B, H, W, 3, h, d] -> 3 of [B, nH, nW, h, side², d]`."""
        if self.shift:
            qkv = qkv.roll((-self.shift, -self.shift), (1, 2))
        return to_windows(qkv, self.side).unbind()

    def weights(self, q: Tensor, k: Tensor) -> Tensor:
        """How much every position of a window attends to every other: `[B, nH, nW, h, side², side²]`, rows sum to 1."""
        logits = (q * self.head_dim**-0.5) @ k.transpose(-1, -2)
        bias = self.bias()
        if bias is not None:
            logits = logits + bias
        if self.shift:
            rows, columns = edge_masks(self.side, device=logits.device)
            logits[:, -1].masked_fill_(rows, float("-inf"))
            logits[:, :, -1].masked_fill_(columns, float("-inf"))
        shares: Tensor = logits.softmax(dim=-1)
        return shares

    def forward(self, qkv: Tensor) -> Tensor:
        """`[B, H, W, 3, h, d] -> [B, H, W, h d]`."""
        q, k, v = self.windows(qkv)
        out = from_windows(self.weights(q, k) @ v, self.side)
        return out.roll((self.shift, self.shift), (1, 2)) if self.shift else out

    def weights_of(self, qkv: Tensor, row: int, column: int) -> Tensor:
        """What one position attends to, over the whole map: `[B, H, W, 3, h, d] -> [B, h, H, W]`.

        These are the weights of `forward`; outside the position's window they are 0.
        """
        batch, height, width = qkv.shape[:3]
        side = self.side
        y, x = (row - self.shift) % height, (column - self.shift) % width
        q, k, _ = self.windows(qkv)
        inside = self.weights(q, k)[:, y // side, x // side, :, y % side * side + x % side]
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
        batch, height, width, channels = x.shape
        qkv = self.qkv(x).view(batch, height, width, 3, len(self.halves), self.group_heads, self.head_dim)
        groups = [attend(qkv[:, :, :, :, group]) for group, attend in enumerate(self.halves)]
        out: Tensor = self.proj(torch.cat(groups, dim=-1).view(batch, height, width, channels))
        return out

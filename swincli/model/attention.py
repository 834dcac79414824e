"""Double attention: half of the heads in regular windows, half in shifted ones (StyleSwin, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.ops.constant import constant


@constant
def relative_index(side: int) -> Tensor:
    """Row of the bias table for every pair of positions of a window: int64 `[side², side²]` (Liu et al., 2021).

    Entry (q, k) is `(dy + side - 1) (2 side - 1) + dx + side - 1` for the offset (dy, dx) from k to q.
    """
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    position = torch.stack([y.flatten(), x.flatten()])
    offset = position[:, :, None] - position[:, None, :] + side - 1
    return offset[0] * (2 * side - 1) + offset[1]


@constant
def edge_masks(side: int) -> Tensor:
    """Which pairs of a window at the border must not see each other after the shift: bool `[2, side², side²]`.

    The first mask is for the lower border, the second for the right one; true where query and key come from opposite
    sides of the image.
    """
    wrapped = torch.arange(side) >= side - side // 2
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
    """

    def __init__(self, heads: int, head_dim: int, side: int, shift: int) -> None:
        super().__init__()
        self.heads, self.head_dim, self.side, self.shift = heads, head_dim, side, shift
        self.position_bias = nn.Parameter(nn.init.trunc_normal_(torch.empty((2 * side - 1) ** 2, heads), std=0.02))

    def bias(self) -> Tensor:
        """The bias of every pair of positions, `[h, side², side²]`."""
        index = relative_index(self.side, device=self.position_bias.device)
        return F.embedding(index, self.position_bias).permute(2, 0, 1)

    def forward(self, qkv: Tensor) -> Tensor:
        """`[B, H, W, 3, h, d] -> [B, H, W, h d]`."""
        if self.shift:
            qkv = qkv.roll((-self.shift, -self.shift), (1, 2))
        q, k, v = to_windows(qkv, self.side)
        logits = (q * self.head_dim**-0.5) @ k.transpose(-1, -2) + self.bias()
        if self.shift:
            rows, columns = edge_masks(self.side, device=logits.device)
            logits[:, -1].masked_fill_(rows, float("-inf"))
            logits[:, :, -1].masked_fill_(columns, float("-inf"))
        out = from_windows(logits.softmax(dim=-1) @ v, self.side)
        return out.roll((self.shift, self.shift), (1, 2)) if self.shift else out


class DoubleAttention(nn.Module):
    """One projection to q, k and v; the first half of their channels attends in regular windows, the second in shifted.

    Where the map is no larger than a window both halves attend to all of it, without a shift.

    Args:
        channels: Channels in and out.
        heads: Heads of both halves together, even.
        side: Side of a window, at most that of the map.
        resolution: Side of the map.
    """

    def __init__(self, channels: int, heads: int, side: int, resolution: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, channels // heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        shifts = (0, side // 2 if side < resolution else 0)
        self.halves = nn.ModuleList(WindowAttention(heads // 2, self.head_dim, side, shift) for shift in shifts)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, H, W, C]`."""
        batch, height, width, channels = x.shape
        qkv = self.qkv(x).view(batch, height, width, 3, 2, self.heads // 2, self.head_dim)
        halves = [attend(qkv[:, :, :, :, half]) for half, attend in enumerate(self.halves)]
        out: Tensor = self.proj(torch.cat(halves, dim=-1).view(batch, height, width, channels))
        return out

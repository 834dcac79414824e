"""Cutting maps into square windows, shifted ones too, and putting them together again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from swincli.ops.constants import constant


@constant
def edge_masks(side: int, *, device: torch.device | None = None) -> Tensor:
    """Which pairs of a window at the border must not see each other after the shift: bool `[2, side², side²]`.

    The first mask is for the lower border, the second for the right one; true where query and key come from opposite
    sides of the image.
    """
    wrapped = torch.arange(side, device=device) >= side - side // 2
    both = torch.stack([wrapped.repeat_interleave(side), wrapped.repeat(side)])
    return both[:, :, None] != both[:, None, :]


def to_windows(x: Tensor, side: int) -> Tensor:
    """`[B, H, W, n, h, d] -> [n, B, H/side, W/side, h, side², d]`, in one copy."""
    batch, height, width, count, heads, dim = x.shape
    split = x.reshape(batch, height // side, side, width // side, side, count, heads, dim)
    return split.permute(5, 0, 1, 3, 6, 2, 4, 7).reshape(
        count, batch, height // side, width // side, heads, side * side, dim
    )


def from_windows(windows: Tensor, side: int) -> Tensor:
    """`[B, nH, nW, h, side², d] -> [B, nH side, nW side, h, d]`."""
    batch, rows, columns, heads, _, dim = windows.shape
    split = windows.view(batch, rows, columns, heads, side, side, dim)
    return split.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, rows * side, columns * side, heads, dim)


class Windows(NamedTuple):
    """How a group of heads sees the map.

    Attributes:
        side: Side of a window.
        shift: How far the windows are shifted up and left, with the image taken as a torus and masked at its seam.
    """

    side: int
    shift: int

    def cut(self, x: Tensor) -> Tensor:
        """Windows of a whole map: `[B, H, W, n, h, d] -> [n, B, nH, nW, h, side², d]`; can be differentiated."""
        return to_windows(x.roll((-self.shift, -self.shift), (1, 2)) if self.shift else x, self.side)

    def join(self, windows: Tensor) -> Tensor:
        """The map of windows, `[B, nH, nW, h, side², d] -> [B, H, W, h, d]`; can be differentiated."""
        x = from_windows(windows, self.side)
        return x.roll((self.shift, self.shift), (1, 2)) if self.shift else x

    def read(self, rows: Tensor) -> Tensor:
        """Windows of some rows that start `shift` rows below those of windows without a shift, in one copy.

        `[B, H, W, h, d] -> [B, nH, nW, h, side², d]`.
        """
        batch, height, width, heads, dim = rows.shape
        windows = rows.new_empty(batch, height // self.side, width // self.side, heads, self.side**2, dim)
        for line, cell in self._matching(rows, windows):
            cell.copy_(line)
        return windows

    def write(self, windows: Tensor, rows: Tensor) -> None:
        """Write windows into the rows that `read` would make them of."""
        for line, cell in self._matching(rows, windows):
            line.copy_(cell)

    def _matching(self, rows: Tensor, windows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Views of both that hold the same; a shifted row's last window continues at its left border."""
        side, shift = self.side, self.shift
        cells = windows.unflatten(-2, (side, side)).permute(0, 1, 4, 2, 5, 3, 6)  # [B, nH, side, nW, side, h, d]
        lines, count = rows.unflatten(1, (-1, side)), windows.shape[2]
        if not shift:
            yield lines.unflatten(3, (count, side)), cells
            return
        seam = (count - 1) * side + shift
        yield lines[:, :, :, shift:seam].unflatten(3, (count - 1, side)), cells[:, :, :, :-1]
        yield lines[:, :, :, seam:], cells[:, :, :, -1, : side - shift]
        yield lines[:, :, :, :shift], cells[:, :, :, -1, side - shift :]

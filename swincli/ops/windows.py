"""Window partition and its reverse (Liu et al., 2021), for regular and shifted windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from swincli.ops.constants import cached_constant


@cached_constant
def edge_masks(side: int, *, device: torch.device | None = None) -> Tensor:
    """Pairs of positions that a shifted window at the border must mask: bool `[2, side², side²]`.

    The first mask is for the lower border, the second for the right one. It is true where query and key come from
    opposite sides of the image.
    """
    wrapped = torch.arange(side, device=device) >= side - side // 2
    both = torch.stack([wrapped.repeat_interleave(side), wrapped.repeat(side)])
    return both[:, :, None] != both[:, None, :]


class WindowGrid(NamedTuple):
    """The windows of one head group: their side and their shift.

    `partition` and `reverse` work on whole maps and can be differentiated. `gather_rows` and `scatter_rows` work on a
    tile of rows that is shifted down already; they copy once and have no gradient.

    Attributes:
        side: Side of a window.
        shift: Shift of the windows, down and to the right. The map wraps around; `edge_masks` masks the seam.
    """

    side: int
    shift: int

    def partition(self, x: Tensor) -> Tensor:
        """Divide n whole maps into windows: `[B, H, W, n, h, d] -> [n, B, nH, nW, h, side², d]`."""
        side = self.side
        x = x.roll((-self.shift, -self.shift), (1, 2)) if self.shift else x
        batch, height, width, count, heads, dim = x.shape
        split = x.reshape(batch, height // side, side, width // side, side, count, heads, dim)
        return split.permute(5, 0, 1, 3, 6, 2, 4, 7).reshape(
            count, batch, height // side, width // side, heads, side * side, dim
        )

    def reverse(self, windows: Tensor) -> Tensor:
        """The map of its windows: `[B, nH, nW, h, side², d] -> [B, H, W, h, d]`."""
        side = self.side
        batch, rows, columns, heads, _, dim = windows.shape
        split = windows.view(batch, rows, columns, heads, side, side, dim)
        x = split.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, rows * side, columns * side, heads, dim)
        return x.roll((self.shift, self.shift), (1, 2)) if self.shift else x

    def gather_rows(self, rows: Tensor) -> Tensor:
        """Windows of some rows of one map: `[B, H, W, h, d] -> [B, nH, nW, h, side², d]`.

        The rows start `shift` rows below a multiple of `side`.
        """
        batch, height, width, heads, dim = rows.shape
        windows = rows.new_empty(batch, height // self.side, width // self.side, heads, self.side**2, dim)
        for line, cell in self._matching(rows, windows):
            cell.copy_(line)
        return windows

    def scatter_rows(self, windows: Tensor, rows: Tensor) -> None:
        """Write windows `[B, nH, nW, h, side², d]` into the rows that `gather_rows` takes them from."""
        for line, cell in self._matching(rows, windows):
            line.copy_(cell)

    def _matching(self, rows: Tensor, windows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of views, of the rows and of the windows, on the same positions.

        The last window of a shifted row wraps around to the left border.
        """
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

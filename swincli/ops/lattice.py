"""Dilated neighbourhoods: interleaved maps, each cut into tiles of queries with the keys around every tile.

With a dilation δ, positions that agree modulo δ form one map, so there are δ² interleaved maps of side L = H / δ. They
are cut into tiles of `side` x `side` queries. The keys of a tile are its own positions and `halo` more on every side.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops import second_gradients


class Lattice(NamedTuple):
    """The tiles of one head group.

    `queries`, `keys` and `assemble` work on whole maps and can be differentiated any number of times. The other methods
    work on one line of tiles, copy once and have no gradient.

    M is the number of tiles in one line, in the order (tile, δ): the tiles of all δ interleaved columns.

    Attributes:
        side: Side of a tile of queries. L is a multiple of it.
        dilation: δ, the step of the lattice in positions; H and W are multiples of it.
        halo: Positions around a tile whose keys it also takes; keys outside the map are 0.
    """

    side: int
    dilation: int = 1
    halo: int = 0

    @property
    def keys_side(self) -> int:
        """Side of the square of a tile's keys."""
        return self.side + 2 * self.halo

    def lines(self, height: int) -> int:
        """Lines of tiles in one interleaved map."""
        return height // (self.dilation * self.side)

    def cut(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of `[B, H, W, 3, h, d]` in tiles."""
        q, k, v = qkv.unbind(3)
        return self.queries(q), self.keys(k), self.keys(v)

    def queries(self, x: Tensor) -> Tensor:
        """`[B, H, W, h, d] -> [lines, B δ, side², M, h, d]`."""
        side, step = self.side, self.dilation
        split = x.unflatten(2, (-1, side, step)).unflatten(1, (-1, side, step))  # [B, n, s, δ, n', s', δ', h, d]
        out: Tensor = split.permute(1, 0, 3, 2, 5, 4, 6, 7, 8).flatten(5, 6).flatten(3, 4).flatten(1, 2)
        return out

    def assemble(self, tiles: Tensor, batch: int) -> Tensor:
        """The map of its tiles, the reverse of `queries`: `[lines, B δ, side², M, h, d] -> [B, H, W, h, d]`."""
        side, step = self.side, self.dilation
        split = tiles.unflatten(3, (-1, step)).unflatten(2, (side, side)).unflatten(1, (batch, step))
        out: Tensor = split.permute(1, 0, 3, 2, 5, 4, 6, 7, 8).flatten(4, 6).flatten(1, 3)
        return out

    def keys(self, x: Tensor) -> Tensor:
        """`[B, H, W, h, d] -> [lines, B δ, keys_side², M, h, d]`."""
        step, halo, wide = self.dilation, self.halo, self.keys_side
        split = x.unflatten(2, (-1, step)).unflatten(1, (-1, step))  # [B, L, δ, L', δ', h, d]
        if halo:
            split = F.pad(split, (0, 0, 0, 0, 0, 0, halo, halo, 0, 0, halo, halo))
        around = split.unfold(1, wide, self.side).unfold(3, wide, self.side)  # [B, n, δ, n', δ', h, d, k, k']
        out: Tensor = around.permute(1, 0, 2, 7, 8, 3, 4, 5, 6).flatten(5, 6).flatten(3, 4).flatten(1, 2)
        return out

    def line_of_queries(self, rows: Tensor) -> Tensor:
        """The queries of one line of tiles: its `[b, side, W, h, d] -> [b, M, h, side², d]`."""
        cells = self._cells(rows)
        return cells.flatten(4, 5).flatten(1, 2)

    def write_line(self, tiles: Tensor, rows: Tensor) -> None:
        """Write `[b, M, h, side², d]` into the rows that `line_of_queries` takes them from."""
        self._cells(rows).copy_(tiles.unflatten(3, (self.side, self.side)).unflatten(1, (-1, self.dilation)))

    def line_of_keys(self, rows: Tensor, first: int) -> Tensor:
        """The keys of one line of tiles: `[b, l, W, h, d] -> [b, M, h, keys_side², d]`.

        Args:
            rows: Rows of one interleaved map: all that the line needs and that the map has.
            first: The row of `rows` at which the line's keys begin; it may be negative.
        """
        step, halo, wide = self.dilation, self.halo, self.keys_side
        split = rows.unflatten(2, (-1, step))
        if halo:
            top, bottom = max(first, 0), min(first + wide, rows.shape[1])
            length = split.shape[2]
            padded = split.new_zeros(len(rows), wide, length + 2 * halo, *split.shape[3:])
            padded[:, top - first : bottom - first, halo : halo + length] = split[:, top:bottom]
        else:
            padded = split[:, first : first + wide]
        around = padded.unfold(2, wide, self.side)  # [b, k, n', δ', h, d, k']
        out: Tensor = around.permute(0, 2, 3, 4, 1, 6, 5).flatten(4, 5).flatten(1, 2)
        return out

    def add_line_of_keys(self, values: Tensor, rows: Tensor, first: int) -> None:
        """Add `[b, M, h, keys_side², d]` to the rows that `line_of_keys` takes them from; keys outside the map drop."""
        step, halo, wide = self.dilation, self.halo, self.keys_side
        split = rows.unflatten(2, (-1, step))
        length = split.shape[2]
        around = values.unflatten(3, (wide, wide)).unflatten(1, (-1, step)).permute(0, 4, 1, 2, 3, 6, 5)
        shape = [len(rows), wide, length + 2 * halo, *split.shape[3:]]
        padded = torch.ops.aten.unfold_backward(around, shape, 2, wide, self.side)
        top, bottom = max(first, 0), min(first + wide, rows.shape[1])
        split[:, top:bottom] += padded[:, top - first : bottom - first, halo : halo + length]

    def _cells(self, rows: Tensor) -> Tensor:
        """A view, `[b, side, W, h, d] -> [b, n', δ', h, side, side, d]`."""
        cells: Tensor = rows.unflatten(2, (-1, self.side, self.dilation)).permute(0, 2, 4, 5, 1, 3, 6)
        return cells


def plain_lattice_attention(qkv: Tensor, lattice: Lattice, bias: Tensor | None) -> Tensor:
    """Attention in every tile, `[B, H, W, 3, h, d] -> [B, H, W, h, d]`, on whole maps.

    It can be differentiated any number of times. The arguments are those of `lattice_attention`.
    """
    q, k, v = lattice.cut(qkv)
    logits = (q * q.shape[-1] ** -0.5).movedim(2, 4) @ k.permute(0, 1, 3, 4, 5, 2)  # [lines, B δ, M, h, side², keys²]
    parts = bias_of_lines(q, lattice, bias)
    pieces = [logits[part] if of_tiles is None else logits[part] + of_tiles for part, of_tiles in parts]
    weights = (torch.cat(pieces) if len(pieces) > 1 else pieces[0]).softmax(dim=-1).to(v.dtype)
    return lattice.assemble((weights @ v.movedim(2, 4)).movedim(4, 2), qkv.shape[0])


def plain_gradients(lattice: Lattice, qkv: Tensor, bias: Tensor | None, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of qkv and the bias that can be differentiated again, with None for the lattice between them."""

    def plain(qkv: Tensor, bias: Tensor | None) -> Tensor:
        return plain_lattice_attention(qkv, lattice, bias)

    of_qkv, of_bias = second_gradients.plain_gradients(plain, (qkv, bias), grad)
    return of_qkv, None, of_bias


def bias_of_lines(q: Tensor, lattice: Lattice, bias: Tensor | None) -> list[tuple[slice, Tensor | None]]:
    """Lines of tiles that share a bias, from the first to the last, and their bias, `[M, h, side², keys_side²]`.

    A bias of one class is `[1, h, ...]`. `q` is the result of `Lattice.queries`.
    """
    if bias is None:
        return [(slice(None), None)]
    tiles, parts = q.shape[3] // lattice.dilation, classes(len(q), len(bias))
    return [
        (part, _of_columns(of_line, tiles, lattice.dilation))
        for part, of_line in zip(parts, bias, strict=True)
        if part.start != part.stop
    ]


def classes(count: int, kinds: int) -> list[slice]:
    """The first, the inner and the last of some lines or columns of tiles, or all of them if they are of one kind."""
    return [slice(0, count)] if kinds == 1 else [slice(0, 1), slice(1, count - 1), slice(count - 1, count)]


def _of_columns(bias: Tensor, tiles: int, step: int) -> Tensor:
    """The bias of the tiles in one line: `[c, h, side², keys_side²] -> [M, h, ...]`, or `[1, h, ...]` of one class."""
    if len(bias) == 1:
        return bias
    counts = [part.stop - part.start for part in classes(tiles, 3)]
    columns = torch.cat([one.expand(count, *one.shape) for one, count in zip(bias, counts, strict=True)])
    return columns[:, None].expand(-1, step, -1, -1, -1).flatten(0, 1)

"""Multi-head attention in the tiles of a lattice: dilated neighbourhoods, strided grids and regular windows.

Every tile of queries attends to its own keys, with a bias for each pair of positions that may be -inf. The bias of a
tile depends on whether the tile is the first, an inner or the last one of its line and of its column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from swincli.ops import second_gradients
from swincli.ops.cpu_tiles import TILE_BYTES, use_tiles_with_grad, use_tiles_without_grad
from swincli.ops.fused_lattice import fused_lattice_attention, use_fused
from swincli.ops.lattice import Lattice, classes, plain_gradients, plain_lattice_attention
from swincli.ops.window_attention import narrow_matmul

BAND_BYTES = 4 * TILE_BYTES
"""Bytes of the projected rows that are attended to at once without autograd. Taller bands project fewer rows twice."""

Project = Callable[[Tensor, slice], Tensor]
"""Makes q, k and v of some rows: takes `[b, rows, W, C]` and the slice of the batch, gives `[b, rows, W, 3, h, d]`."""


def lattice_attention(qkv: Tensor, lattice: Lattice, bias: Tensor | None) -> Tensor:
    """`[B, H, W, 3, h, d] -> [B, H, W, h, d]`.

    Args:
        qkv: Queries, keys and values.
        lattice: The tiles.
        bias: Added to the logits of every pair of positions, `[r, c, h, side², keys_side²]`, or None. r and c are 3,
            for the first, the inner and the last line and column of tiles, or 1 for one bias everywhere.
    """
    if not qkv.shape[4]:  # fewer heads than groups of heads
        return qkv[:, :, :, 0]
    if use_fused(qkv, lattice):
        return fused_lattice_attention(qkv, lattice, bias)
    if use_tiles_with_grad(qkv):
        tiled: Tensor = _TiledAttention.apply(qkv, lattice, bias)  # type: ignore[no-untyped-call]
        return tiled
    if use_tiles_without_grad(qkv):
        return _forward_tiled(qkv, lattice, bias)
    return plain_lattice_attention(qkv, lattice, bias)


def attend_tiled(x: Tensor, project: Project, lattice: Lattice, bias: Tensor | None, out: Tensor) -> None:
    """Attention of one head group, projected and attended to band by band, without autograd.

    Args:
        x: The map before the projection, `[B, H, W, C]`.
        project: Makes q, k and v.
        lattice: The tiles.
        bias: As in `lattice_attention`.
        out: Memory for the result, `[B, H, W, h, d]`.
    """
    height, width, heads, dim = out.shape[1:]
    if not heads:
        return
    lines, line_bytes = lattice.lines(height), lattice.side * width * 3 * heads * dim * x.element_size()
    at_once = min(lines, max(1, BAND_BYTES // line_bytes))
    count = max(1, BAND_BYTES // (line_bytes * at_once))
    for start, residue in ((i, r) for i in range(0, len(x), count) for r in range(lattice.dilation)):
        images = slice(start, start + count)
        rows, results = (values[images, residue :: lattice.dilation] for values in (x, out))
        for first in range(0, lines, at_once):
            last = min(first + at_once, lines)
            top = max(0, first * lattice.side - lattice.halo)
            qkv = project(rows[:, top : last * lattice.side + lattice.halo], images)
            for line in range(first, last):
                _attend_line(qkv, results, lattice, bias, (line, lines, top))


def _attend_line(qkv: Tensor, out: Tensor, lattice: Lattice, bias: Tensor | None, at: tuple[int, int, int]) -> None:
    """Attention of one line of tiles, in its rows of `out`.

    Args:
        qkv: Rows of one interleaved map, `[b, l, W, 3, h, d]`.
        out: All rows of the map's result, `[b, L, W, h, d]`.
        lattice: The tiles.
        bias: As in `lattice_attention`.
        at: The line, the number of lines, and the row of the map at which `qkv` begins.
    """
    line, lines, top = at
    start = line * lattice.side
    rows = slice(start - top, start - top + lattice.side)
    for images in _images(qkv, lattice):
        q = lattice.line_of_queries(qkv[images, rows, :, 0])
        k, v = (lattice.line_of_keys(qkv[images, :, :, n], start - top - lattice.halo) for n in (1, 2))
        weights = _weights(q, k, bias, lattice, (line, lines))
        lattice.write_line(narrow_matmul(weights, v), out[images, start : start + lattice.side])


def _images(qkv: Tensor, lattice: Lattice) -> Iterator[slice]:
    """Images whose logits of one line of tiles fit into the cache."""
    batch, _, width, _, heads, _ = qkv.shape
    of_one = width * lattice.side * heads * lattice.keys_side**2 * qkv.element_size()
    count = max(1, TILE_BYTES // of_one)
    return (slice(start, start + count) for start in range(0, batch, count))


def _weights(q: Tensor, k: Tensor, bias: Tensor | None, lattice: Lattice, at: tuple[int, int]) -> Tensor:
    """Softmax of the logits of one line of tiles, `[b, M, h, side², keys_side²]`."""
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if bias is not None:
        for part, of_pairs in zip(_columns(q, lattice, bias), bias[_class(at, bias)], strict=True):
            logits[:, part] += of_pairs
    weights: Tensor = logits.softmax(dim=-1)
    return weights


def _class(at: tuple[int, int], bias: Tensor) -> int:
    """The bias' index of a line: 0 for the first, 1 for an inner, 2 for the last, or 0 if there is one class."""
    line, lines = at
    return 0 if line == 0 or len(bias) == 1 else 2 if line == lines - 1 else 1


def _columns(q: Tensor, lattice: Lattice, bias: Tensor) -> list[slice]:
    """The tiles of each class in a line."""
    step = lattice.dilation
    parts = classes(q.shape[1] // step, bias.shape[1])
    return [slice(part.start * step, part.stop * step) for part in parts]


def _forward_tiled(qkv: Tensor, lattice: Lattice, bias: Tensor | None) -> Tensor:
    out = qkv.new_empty(*qkv.shape[:3], *qkv.shape[4:])
    lines = lattice.lines(qkv.shape[1])
    for residue in range(lattice.dilation):
        rows, results = (values[:, residue :: lattice.dilation] for values in (qkv, out))
        for line in range(lines):
            _attend_line(rows, results, lattice, bias, (line, lines, 0))
    return out


class _TiledAttention(torch.autograd.Function):
    """Attention line by line. Only q, k and v are saved; backward recomputes the attention weights."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, lattice: Lattice, bias: Tensor | None) -> Tensor:
        ctx.lattice = lattice
        ctx.save_for_backward(qkv, bias)
        return _forward_tiled(qkv, lattice, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        qkv, bias = ctx.saved_tensors
        (grad,) = grad_outputs
        if second_gradients.is_wanted():
            return plain_gradients(ctx.lattice, qkv, bias, grad)
        grad_qkv, grad_bias = torch.zeros_like(qkv), None if bias is None else torch.zeros_like(bias)
        step, lines = ctx.lattice.dilation, ctx.lattice.lines(qkv.shape[1])
        for residue in range(step):
            maps = tuple(values[:, residue::step] for values in (qkv, grad, grad_qkv))
            for line in range(lines):
                _backward_line(maps, ctx.lattice, bias, grad_bias, (line, lines))
        return grad_qkv, None, grad_bias


def _backward_line(
    maps: tuple[Tensor, ...], lattice: Lattice, bias: Tensor | None, grad_bias: Tensor | None, at: tuple[int, int]
) -> None:
    """Gradients of one line of tiles: write those of q, and add those of k, v and the bias.

    Args:
        maps: The rows of one interleaved map, of qkv, of the gradient of the result, and of the gradient of qkv.
        lattice: The tiles.
        bias: As in `lattice_attention`.
        grad_bias: Its gradient so far.
        at: The line, and the number of lines.
    """
    start = at[0] * lattice.side
    lines = slice(start, start + lattice.side)
    for images in _images(maps[0], lattice):
        qkv, grad, grad_qkv = (values[images] for values in maps)
        q = lattice.line_of_queries(qkv[:, lines, :, 0])
        k, v = (lattice.line_of_keys(qkv[:, :, :, n], start - lattice.halo) for n in (1, 2))
        outer = lattice.line_of_queries(grad[:, lines])
        weights = _weights(q, k, bias, lattice, at)
        logits = torch._softmax_backward_data(outer @ v.transpose(-1, -2), weights, -1, weights.dtype)
        if bias is not None and grad_bias is not None:
            for part, of_pairs in zip(_columns(q, lattice, bias), grad_bias[_class(at, bias)], strict=True):
                of_pairs += logits[:, part].sum(dim=(0, 1))
        scale = q.shape[-1] ** -0.5
        lattice.write_line(narrow_matmul(logits, k * scale), grad_qkv[:, lines, :, 0])
        of_keys = narrow_matmul(logits.transpose(-1, -2), q * scale), narrow_matmul(weights.transpose(-1, -2), outer)
        for n, values in enumerate(of_keys, start=1):
            lattice.add_line_of_keys(values, grad_qkv[:, :, :, n], start - lattice.halo)

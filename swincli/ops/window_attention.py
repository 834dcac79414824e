"""Multi-head window attention (Liu et al., 2021) of several head groups, each with windows of its own.

With one regular and one shifted group it is StyleSwin's double attention (section 3.1, "Double attention").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from swincli.ops import second_gradients
from swincli.ops.cpu_tiles import Tile, tiles, use_tiles_with_grad, use_tiles_without_grad
from swincli.ops.windows import WindowGrid, edge_masks

NARROW = 16
"""Matrices with fewer columns are multiplied transposed: MKL is then several times faster."""


def attention_weights(
    q: Tensor,
    k: Tensor,
    bias: Tensor | None,
    grid: WindowGrid,
    *,
    at_bottom: bool = True,
    factors: Tensor | None = None,
) -> Tensor:
    """Softmax of the masked logits in every window: `[B, nH, nW, h, side², side²]`; rows sum to 1.

    Args:
        q, k: Queries and keys, `[B, nH, nW, h, side², d]`.
        bias: Added to the logits of every pair of positions, `[h, side², side²]`; None for no bias.
        grid: The windows.
        at_bottom: Whether the last row of windows is at the lower border of the map.
        factors: Multiply the scaled logits before the bias is added, `[h, side², side²]`; None for 1.
    """
    scale = q.shape[-1] ** -0.5
    if factors is not None:
        logits = (q * scale) @ k.transpose(-1, -2) * factors
        logits = logits if bias is None else logits + bias
    elif bias is None:
        logits = (q * scale) @ k.transpose(-1, -2)
    elif not use_tiles_without_grad(q):
        logits = (q * scale) @ k.transpose(-1, -2) + bias
    else:  # one pass over the logits less
        logits = bias.expand(*q.shape[:3], *bias.shape).clone(memory_format=torch.contiguous_format)
        keys = k.flatten(0, 3).transpose(1, 2)
        logits.view(-1, *bias.shape[1:]).baddbmm_(q.flatten(0, 3), keys, alpha=scale)
    if grid.shift:
        rows, columns = edge_masks(grid.side, device=logits.device)
        if at_bottom:
            logits[:, -1].masked_fill_(rows, float("-inf"))
        logits[:, :, -1].masked_fill_(columns, float("-inf"))
    weights: Tensor = logits.softmax(dim=-1)
    return weights


def window_attention(
    qkv: Tensor, grids: Sequence[WindowGrid], biases: Sequence[Tensor | None], factors: Sequence[Tensor] = ()
) -> Tensor:
    """Attention of all head groups: `[B, H, W, 3, G, h, d] -> [B, H, W, G h d]`.

    Args:
        qkv: Queries, keys and values of every group.
        grids: The windows of each group.
        biases: The bias of each group, `[h, side², side²]`, or None.
        factors: What multiplies the logits of each group, `[h, side², side²]`, or nothing. With autograd, the logits
            of the whole map are then in memory.
    """
    if use_tiles_with_grad(qkv) and not factors:
        out: Tensor = _WindowAttention.apply(qkv, grids, *biases)  # type: ignore[no-untyped-call]
        return out.flatten(3)
    if use_tiles_without_grad(qkv):
        return _forward_tiled(qkv, grids, biases, factors).flatten(3)
    return _plain(qkv, grids, biases, factors).flatten(3)


def _plain(
    qkv: Tensor, grids: Sequence[WindowGrid], biases: Sequence[Tensor | None], factors: Sequence[Tensor] = ()
) -> Tensor:
    """`[B, H, W, 3, G, h, d] -> [B, H, W, G, h, d]` on whole maps."""
    results = []
    for group, (grid, bias) in enumerate(zip(grids, biases, strict=True)):
        q, k, v = grid.partition(qkv[:, :, :, :, group])
        weights = attention_weights(q, k, bias, grid, factors=factors[group] if factors else None)
        results.append(grid.reverse(weights @ v))
    return torch.stack(results, dim=3)


def attend_tile(
    qkv: Tensor, tile: Tile, grid: WindowGrid, bias: Tensor | None, out: Tensor, factors: Tensor | None = None
) -> None:
    """Attention of one head group in one tile, without autograd.

    Args:
        qkv: Queries, keys and values of the tile, moved down by `shift` rows: `[b, rows, W, 3, h, d]`.
        tile: The tile; its rows are whole windows.
        grid: The windows of the group.
        bias: Its bias, or None.
        out: The result of the whole map, `[B, H, W, h, d]`; the tile's positions are written.
        factors: What multiplies the logits, or None.
    """
    q, k, v = (grid.gather_rows(each) for each in qkv.unbind(3))
    weights = attention_weights(q, k, bias, grid, at_bottom=tile.at_bottom, factors=factors)
    _write_windows(narrow_matmul(weights, v), tile, grid, out)


def attention_tiles(x: Tensor, heads: int, grid: WindowGrid) -> Iterator[Tile]:
    """Tiles of `[B, H, W, ...]` for the attention of a group with `heads` heads."""
    return tiles(x, heads * grid.side**2, multiple=grid.side)


def _forward_tiled(
    qkv: Tensor, grids: Sequence[WindowGrid], biases: Sequence[Tensor | None], factors: Sequence[Tensor] = ()
) -> Tensor:
    out = qkv.new_empty(*qkv.shape[:3], *qkv.shape[4:])
    for group, (grid, bias) in enumerate(zip(grids, biases, strict=True)):
        of_group, of_pairs = qkv[:, :, :, :, group], factors[group] if factors else None
        for tile in attention_tiles(of_group, of_group.shape[4], grid):
            attend_tile(tile.read(of_group, grid.shift), tile, grid, bias, out[:, :, :, group], of_pairs)
    return out


class _WindowAttention(torch.autograd.Function):
    """Window attention in tiles. Only q, k and v are saved; backward recomputes the attention weights."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, grids: Sequence[WindowGrid], *biases: Tensor | None) -> Tensor:
        ctx.grids = grids
        ctx.save_for_backward(qkv, *biases)
        return _forward_tiled(qkv, grids, biases)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        qkv, *biases = ctx.saved_tensors
        (grad,) = grad_outputs
        if second_gradients.is_wanted():
            of_qkv, *of_biases = second_gradients.plain_gradients(
                lambda qkv, *biases: _plain(qkv, ctx.grids, biases), (qkv, *biases), grad
            )
            return of_qkv, None, *of_biases
        grad_qkv, grad_biases = torch.empty_like(qkv), []
        for group, (grid, bias) in enumerate(zip(ctx.grids, biases, strict=True)):
            of_group = qkv[:, :, :, :, group], grad[:, :, :, group], grad_qkv[:, :, :, :, group]
            grad_biases.append(_backward(*of_group, grid, bias))
        return grad_qkv, None, *grad_biases


def _backward(qkv: Tensor, grad: Tensor, grad_qkv: Tensor, grid: WindowGrid, bias: Tensor | None) -> Tensor | None:
    """Write the gradient of one group's q, k and v into `grad_qkv`, and return the gradient of its bias, or None."""
    grad_bias = None if bias is None else torch.zeros_like(bias)
    for tile in attention_tiles(qkv, qkv.shape[4], grid):
        q, k, v = (grid.gather_rows(each) for each in tile.read(qkv, grid.shift).unbind(3))
        outer = grid.gather_rows(tile.read(grad, grid.shift))
        weights = attention_weights(q, k, bias, grid, at_bottom=tile.at_bottom)
        logits = torch._softmax_backward_data(outer @ v.transpose(-1, -2), weights, -1, weights.dtype)
        if grad_bias is not None:
            grad_bias += logits.flatten(0, 2).sum(dim=0)
        scale = q.shape[-1] ** -0.5
        grad_q, grad_k = narrow_matmul(logits, k * scale), narrow_matmul(logits.transpose(-1, -2), q * scale)
        grad_v = narrow_matmul(weights.transpose(-1, -2), outer)
        for values, result in zip((grad_q, grad_k, grad_v), grad_qkv.unbind(3), strict=True):
            _write_windows(values, tile, grid, result)
    return grad_bias


def _write_windows(values: Tensor, tile: Tile, grid: WindowGrid, out: Tensor) -> None:
    """Write the windows of a tile into a map `[B, H, W, h, d]`."""
    wraps = tile.at_bottom and grid.shift > 0
    height = tile.rows.stop - tile.rows.start
    rows = out.new_empty(values.shape[0], height, *out.shape[2:]) if wraps else tile.read(out, grid.shift)
    grid.scatter_rows(values, rows)
    if wraps:
        tile.write(out, rows, grid.shift)


def narrow_matmul(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b`, transposed if b is narrow: for matrices of few channels on a CPU."""
    if b.shape[-1] < NARROW:
        return (b.transpose(-1, -2) @ a.transpose(-1, -2)).transpose(-1, -2)
    return a @ b

"""Multi-head attention inside windows (Liu et al., 2021), for several groups of heads with shifts of their own.

StyleSwin, section 3.1, "Double attention".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from swincli.ops.cpu_tiles import Part, is_due_with_graph, is_due_without_graph, parts
from swincli.ops.windows import Windows, edge_masks

SLIM = 16
"""Matrices of fewer columns are multiplied as rows: MKL is then several times faster."""


def attention_weights(q: Tensor, k: Tensor, bias: Tensor | None, windows: Windows, *, last: bool = True) -> Tensor:
    """How much every position of a window attends to every other: `[B, nH, nW, h, side², side²]`, rows sum to 1.

    Args:
        q, k: `[B, nH, nW, h, side², d]`.
        bias: What is added for every pair of positions, `[h, side², side²]`.
        windows: Which windows these are.
        last: Whether the last row of them is the one at the map's lower border.
    """
    scale = q.shape[-1] ** -0.5
    if bias is None:
        logits = (q * scale) @ k.transpose(-1, -2)
    elif not is_due_without_graph(q):
        logits = (q * scale) @ k.transpose(-1, -2) + bias
    else:  # one pass less
        logits = bias.expand(*q.shape[:3], *bias.shape).clone(memory_format=torch.contiguous_format)
        keys = k.flatten(0, 3).transpose(1, 2)
        logits.view(-1, *bias.shape[1:]).baddbmm_(q.flatten(0, 3), keys, alpha=scale)
    if windows.shift:
        rows, columns = edge_masks(windows.side, device=logits.device)
        if last:
            logits[:, -1].masked_fill_(rows, float("-inf"))
        logits[:, :, -1].masked_fill_(columns, float("-inf"))
    shares: Tensor = logits.softmax(dim=-1)
    return shares


def attend(qkv: Tensor, groups: Sequence[Windows], biases: Sequence[Tensor | None]) -> Tensor:
    """Attention of all groups: `[B, H, W, 3, G, h, d] -> [B, H, W, G h d]`.

    Args:
        qkv: Queries, keys and values of every group.
        groups: The windows of each.
        biases: The bias of each, `[h, side², side²]`, where there is one.
    """
    if is_due_with_graph(qkv):
        out: Tensor = _Attend.apply(qkv, groups, *biases)  # type: ignore[no-untyped-call]
        return out.flatten(3)
    if is_due_without_graph(qkv):
        return _in_parts(qkv, groups, biases).flatten(3)
    attended = []
    for group, (windows, bias) in enumerate(zip(groups, biases, strict=True)):
        q, k, v = windows.cut(qkv[:, :, :, :, group])
        attended.append(windows.join(attention_weights(q, k, bias, windows) @ v))
    return torch.stack(attended, dim=3).flatten(3)


def attend_part(qkv: Tensor, part: Part, windows: Windows, bias: Tensor | None, out: Tensor) -> None:
    """Attention of one group in a part of the map, without a graph.

    Args:
        qkv: Queries, keys and values of the part's rows `shift` further down, `[b, rows, W, 3, h, d]`.
        part: The part; its rows are whole windows.
        windows: The windows.
        bias: The bias, where there is one.
        out: Memory for the whole map's result, `[B, H, W, h, d]`.
    """
    q, k, v = (windows.read(each) for each in qkv.unbind(3))
    weights = attention_weights(q, k, bias, windows, last=part.last)
    _write(_product(weights, v), part, windows, out)


def parts_of_group(x: Tensor, heads: int, windows: Windows) -> Iterator[Part]:
    """The parts of `[B, H, W, ...]` in which a group of so many heads attends."""
    return parts(x, heads * windows.side**2, multiple=windows.side)


def _in_parts(qkv: Tensor, groups: Sequence[Windows], biases: Sequence[Tensor | None]) -> Tensor:
    out = qkv.new_empty(*qkv.shape[:3], *qkv.shape[4:])
    for group, (windows, bias) in enumerate(zip(groups, biases, strict=True)):
        given = qkv[:, :, :, :, group]
        for part in parts_of_group(given, given.shape[4], windows):
            attend_part(part.of(given, windows.shift), part, windows, bias, out[:, :, :, group])
    return out


class _Attend(torch.autograd.Function):
    """Of all that lies between only q, k and v are kept; the weights are computed again for the gradient."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, groups: Sequence[Windows], *biases: Tensor | None) -> Tensor:
        ctx.groups = groups
        ctx.save_for_backward(qkv, *biases)
        return _in_parts(qkv, groups, biases)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        qkv, *biases = ctx.saved_tensors
        (grad,) = grad_outputs
        for_qkv, for_biases = torch.empty_like(qkv), []
        for group, (windows, bias) in enumerate(zip(ctx.groups, biases, strict=True)):
            slices = qkv[:, :, :, :, group], grad[:, :, :, group], for_qkv[:, :, :, :, group]
            for_biases.append(_backward(*slices, windows, bias))
        return for_qkv, None, *for_biases


def _backward(qkv: Tensor, grad: Tensor, for_qkv: Tensor, windows: Windows, bias: Tensor | None) -> Tensor | None:
    """Write one group's gradient of q, k and v; returns that of its bias, where there is one."""
    for_bias = None if bias is None else torch.zeros_like(bias)
    for part in parts_of_group(qkv, qkv.shape[4], windows):
        q, k, v = (windows.read(each) for each in part.of(qkv, windows.shift).unbind(3))
        outer = windows.read(part.of(grad, windows.shift))
        weights = attention_weights(q, k, bias, windows, last=part.last)
        logits = torch._softmax_backward_data(outer @ v.transpose(-1, -2), weights, -1, weights.dtype)
        if for_bias is not None:
            for_bias += logits.flatten(0, 2).sum(dim=0)
        scale = q.shape[-1] ** -0.5
        of_q, of_k = _product(logits, k * scale), _product(logits.transpose(-1, -2), q * scale)
        of_v = _product(weights.transpose(-1, -2), outer)
        for values, result in zip((of_q, of_k, of_v), for_qkv.unbind(3), strict=True):
            _write(values, part, windows, result)
    return for_bias


def _write(values: Tensor, part: Part, windows: Windows, out: Tensor) -> None:
    """Write a part's windows into a map `[B, H, W, h, d]`."""
    wraps = part.last and windows.shift > 0
    height = part.rows.stop - part.rows.start
    rows = out.new_empty(values.shape[0], height, *out.shape[2:]) if wraps else part.of(out, windows.shift)
    windows.write(values, rows)
    if wraps:
        part.put(out, rows, windows.shift)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b`."""
    if b.shape[-1] < SLIM:
        return (b.transpose(-1, -2) @ a.transpose(-1, -2)).transpose(-1, -2)
    return a @ b

"""The MLP of a transformer block: two linear layers with a GELU between them, applied to every position."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops import second_gradients
from swincli.ops.cpu_tiles import positions_per_tile, save_less, use_tiles_with_grad, use_tiles_without_grad
from swincli.ops.precision import as_autocast

MIN_POSITIONS = 1024
"""Fewest positions of a tile: the backward pass of every tile adds to the whole gradient of both weights."""

NARROW = 64
"""Up to this many channels in, whole maps recompute the input of the GELU too: the product is bound by memory, so it
takes about as long as reading what was saved."""


def mlp(x: Tensor, expand: Tensor, expand_bias: Tensor, contract: Tensor, contract_bias: Tensor) -> Tensor:
    """`[..., C] -> [..., C']`.

    Args:
        x: Features.
        expand, expand_bias: Weight `[hidden, C]` and bias `[hidden]` of the first layer.
        contract, contract_bias: Weight `[C', hidden]` and bias `[C']` of the second layer.
    """
    weights: tuple[Tensor, ...] = (expand, expand_bias, contract, contract_bias)
    flat = x.reshape(-1, x.shape[-1])
    if use_tiles_with_grad(x):
        out: Tensor = _Mlp.apply(flat, *weights)  # type: ignore[no-untyped-call]
    elif use_tiles_without_grad(x):
        out = _forward(flat, *weights, hidden=None)
    elif save_less(x):
        out = _WholeMlp.apply(*as_autocast(flat, *weights))  # type: ignore[no-untyped-call]
    else:
        return _plain(x, *weights)
    return out.view(*x.shape[:-1], len(contract))


def _plain(x: Tensor, expand: Tensor, expand_bias: Tensor, contract: Tensor, contract_bias: Tensor) -> Tensor:
    return F.linear(F.gelu(F.linear(x, expand, expand_bias)), contract, contract_bias)


def _forward(
    x: Tensor,
    expand: Tensor,
    expand_bias: Tensor,
    contract: Tensor,
    contract_bias: Tensor,
    *,
    hidden: Tensor | None,
) -> Tensor:
    """`[P, C] -> [P, C']`, tile by tile; the input of the GELU is written into `hidden`, `[P, hidden]`, if given."""
    out, step = x.new_empty(len(x), len(contract)), _positions(x, expand)
    inner = x.new_empty(min(step, len(x)), len(expand)) if hidden is None else hidden
    for start in range(0, len(x), step):
        here = slice(start, start + step)
        within = inner[: len(x[here])] if hidden is None else inner[here]
        torch.addmm(expand_bias, x[here], expand.t(), out=within)
        torch.addmm(contract_bias, F.gelu(within), contract.t(), out=out[here])
    return out


def _positions(x: Tensor, expand: Tensor) -> int:
    return max(MIN_POSITIONS, positions_per_tile(x, len(expand)))


class _Mlp(torch.autograd.Function):
    """The MLP in tiles. Of the two maps of hidden width, only the input of the GELU is saved for backward."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, expand: Tensor, expand_bias: Tensor, contract: Tensor, contract_bias: Tensor
    ) -> Tensor:
        hidden = x.new_empty(len(x), len(expand))
        ctx.save_for_backward(x, expand, expand_bias, contract, contract_bias, hidden)
        return _forward(x, expand, expand_bias, contract, contract_bias, hidden=hidden)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        *inputs, hidden = ctx.saved_tensors
        if second_gradients.is_wanted():
            return second_gradients.plain_gradients(_plain, inputs, grad)
        x, expand, _, contract, _ = inputs
        to_x, to_expand, to_expand_bias, to_contract, to_contract_bias = ctx.needs_input_grad
        through_gelu, step = to_x or to_expand or to_expand_bias, _positions(x, expand)
        grad_x = torch.empty_like(x) if to_x else None
        grad_expand = torch.zeros_like(expand) if to_expand else None
        grad_expand_bias = x.new_zeros(len(expand)) if to_expand_bias else None
        grad_contract = torch.zeros_like(contract) if to_contract else None
        for start in range(0, len(x), step):
            here = slice(start, start + step)
            inner, outer = hidden[here], grad[here]
            if through_gelu:
                through = torch.ops.aten.gelu_backward(outer @ contract, inner)
            if grad_x is not None:
                torch.mm(through, expand, out=grad_x[here])
            if grad_expand is not None:
                grad_expand.addmm_(through.t(), x[here])
            if grad_contract is not None:
                grad_contract.addmm_(outer.t(), F.gelu(inner))
            if grad_expand_bias is not None:
                grad_expand_bias += through.sum(dim=0)
        return grad_x, grad_expand, grad_expand_bias, grad_contract, grad.sum(dim=0) if to_contract_bias else None


class _WholeMlp(torch.autograd.Function):
    """The MLP on the whole map, as on a GPU: the result of the GELU is recomputed, and its input if `NARROW`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, expand: Tensor, expand_bias: Tensor, contract: Tensor, contract_bias: Tensor
    ) -> Tensor:
        hidden = F.linear(x, expand, expand_bias)
        saved = None if x.shape[-1] <= NARROW else hidden
        ctx.save_for_backward(x, expand, expand_bias, contract, contract_bias, saved)
        return F.linear(F.gelu(hidden), contract, contract_bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        *inputs, hidden = ctx.saved_tensors
        if second_gradients.is_wanted():
            return second_gradients.plain_gradients(_plain, inputs, grad)
        x, expand, expand_bias, contract, _ = inputs
        to_x, to_expand, to_expand_bias, to_contract, to_contract_bias = ctx.needs_input_grad
        hidden = F.linear(x, expand, expand_bias) if hidden is None else hidden
        grad_x = grad_expand = grad_expand_bias = grad_contract = None
        if to_contract:
            grad_contract = grad.t() @ F.gelu(hidden)
        if to_x or to_expand or to_expand_bias:
            through = torch.ops.aten.gelu_backward(grad @ contract, hidden)
            grad_x = through @ expand if to_x else None
            grad_expand = through.t() @ x if to_expand else None
            grad_expand_bias = through.sum(dim=0) if to_expand_bias else None
        return grad_x, grad_expand, grad_expand_bias, grad_contract, grad.sum(dim=0) if to_contract_bias else None

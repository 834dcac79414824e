"""Two linear layers with a GELU between them, position by position."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from swincli.ops.cpu_tiles import is_due_with_graph, is_due_without_graph, positions_at_once

FEWEST = 1024
"""Positions of a part at least: each adds to the whole gradient of both weights."""


def mlp(x: Tensor, expand: Tensor, expand_bias: Tensor, contract: Tensor, contract_bias: Tensor) -> Tensor:
    """`[..., C] -> [..., C']`.

    Args:
        x: Features.
        expand, expand_bias: Weight and bias of the first layer, `[hidden, C]` and `[hidden]`.
        contract, contract_bias: Those of the second, `[C', hidden]` and `[C']`.
    """
    weights = expand, expand_bias, contract, contract_bias
    flat = x.reshape(-1, x.shape[-1])
    if is_due_with_graph(x):
        out: Tensor = _Mlp.apply(flat, *weights)  # type: ignore[no-untyped-call]
    elif is_due_without_graph(x):
        out = _forward(flat, *weights, hidden=None)
    else:
        return F.linear(F.gelu(F.linear(x, expand, expand_bias)), contract, contract_bias)
    return out.view(*x.shape[:-1], len(contract))


def _forward(
    x: Tensor,
    expand: Tensor,
    expand_bias: Tensor,
    contract: Tensor,
    contract_bias: Tensor,
    *,
    hidden: Tensor | None,
) -> Tensor:
    """`[P, C] -> [P, C']`, part by part; what the GELU is applied to is written into `hidden`, `[P, hidden]`."""
    out, step = x.new_empty(len(x), len(contract)), _positions(x, expand)
    inner = x.new_empty(min(step, len(x)), len(expand)) if hidden is None else hidden
    for start in range(0, len(x), step):
        here = slice(start, start + step)
        within = inner[: len(x[here])] if hidden is None else inner[here]
        torch.addmm(expand_bias, x[here], expand.t(), out=within)
        torch.addmm(contract_bias, F.gelu(within), contract.t(), out=out[here])
    return out


def _positions(x: Tensor, expand: Tensor) -> int:
    return max(FEWEST, positions_at_once(x, len(expand)))


class _Mlp(torch.autograd.Function):
    """Of the two maps of hidden width only the one before the GELU is kept for the gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, expand: Tensor, expand_bias: Tensor, contract: Tensor, contract_bias: Tensor
    ) -> Tensor:
        hidden = x.new_empty(len(x), len(expand))
        ctx.save_for_backward(x, hidden, expand, contract)
        return _forward(x, expand, expand_bias, contract, contract_bias, hidden=hidden)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        x, hidden, expand, contract = ctx.saved_tensors
        trained = ctx.needs_input_grad[1]
        for_x, step = torch.empty_like(x), _positions(x, expand)
        for_expand, for_contract = torch.zeros_like(expand), torch.zeros_like(contract)
        for_bias = x.new_zeros(len(expand))
        pieces = (each.split(step) for each in (x, hidden, grad, for_x))
        for part, inner, outer, result in zip(*pieces, strict=True):
            through = torch.ops.aten.gelu_backward(outer @ contract, inner)
            torch.mm(through, expand, out=result)
            if trained:
                for_expand.addmm_(through.t(), part)
                for_contract.addmm_(outer.t(), F.gelu(inner))
                for_bias += through.sum(dim=0)
        if not trained:
            return for_x, None, None, None, None
        return for_x, for_expand, for_bias, for_contract, grad.sum(dim=0)

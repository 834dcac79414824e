"""Several tensors times a number each, in one operation, for devices where each operation costs a launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def scaled_together(tensors: Sequence[Tensor], factors: Sequence[float]) -> list[Tensor]:
    """Each tensor times its factor. The gradients are one operation too, and can be differentiated again."""
    scaled: tuple[Tensor, ...] = _Scaled.apply(tuple(factors), *tensors)  # type: ignore[no-untyped-call]
    return list(scaled)


class _Scaled(torch.autograd.Function):
    """Tensors times numbers. PyTorch's own gradient of such an operation is one product for each tensor."""

    @staticmethod
    def forward(ctx: Any, factors: tuple[float, ...], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.factors = factors
        ctx.set_materialize_grads(False)
        scaled = torch._foreach_mul(tensors, factors)
        wanted = zip(scaled, ctx.needs_input_grad[1:], strict=True)
        ctx.mark_non_differentiable(*(tensor for tensor, is_asked in wanted if not is_asked))
        return tuple(scaled)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        given = [(grad, factor) for grad, factor in zip(grad_outputs, ctx.factors, strict=True) if grad is not None]
        if not given:
            return None, *grad_outputs
        grads, factors = zip(*given, strict=True)
        scaled = iter(scaled_together(grads, factors))
        return None, *(None if grad is None else next(scaled) for grad in grad_outputs)

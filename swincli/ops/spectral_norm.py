"""Spectral norm (Miyato et al., 2018) of many weights at once, for devices where each operation costs a launch.

The vectors of all weights are rows of one matrix, padded with zeros. So they are normalised together, and only the
products with a weight, its division and its gradient are operations of that weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops import second_gradients
from swincli.ops.constants import cached_constant

EPS = 1e-12


@cached_constant
def _rows(lengths: tuple[int, ...], *, device: torch.device | None = None) -> Tensor:
    """Indices `[L, longest]` into L vectors and one zero, all concatenated; rows are padded with the zero's index."""
    vectors = torch.arange(sum(lengths), device=device).split(list(lengths))
    return torch.nn.utils.rnn.pad_sequence(list(vectors), batch_first=True, padding_value=sum(lengths))


@cached_constant
def _zero(*, device: torch.device | None = None) -> Tensor:
    return torch.zeros(1, device=device)


def _stacked(vectors: Sequence[Tensor]) -> Tensor:
    """A matrix of vectors, padded with zeros: L of `[n]` -> `[L, longest n]`."""
    first = vectors[0]
    index = _rows(tuple(map(len, vectors)), device=first.device)
    return torch.cat([*vectors, _zero(device=first.device, dtype=first.dtype)])[index]


def spectral_weights(
    weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor], *, move: bool
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Weights divided by their largest singular values, and the vectors that these were computed with.

    A function without side effects: the caller stores the new vectors. The results share no memory with `us` and `vs`.

    Args:
        weights: L weights; a weight is a matrix of its first axis and of all others.
        us, vs: Its left and right singular vectors, as known so far.
        move: Do one step of power iteration first.

    Returns:
        The divided weights, and the vectors, moved or as they were.
    """
    with torch.no_grad():
        matrices = [weight.flatten(1) for weight in weights]
        if move:
            v = F.normalize(_stacked([m.t().mv(u) for m, u in zip(matrices, us, strict=True)]), dim=1, eps=EPS)
        else:
            v = _stacked(vs)
        products = _stacked([m.mv(row[: m.shape[1]]) for m, row in zip(matrices, v, strict=True)])
        u = F.normalize(products, dim=1, eps=EPS) if move else _stacked(us)
        norms = (u * products).sum(dim=1)
    divided: tuple[Tensor, ...] = _Divided.apply(u, v, norms, *weights)  # type: ignore[no-untyped-call]
    rows, columns = ([row[: len(old)] for row, old in zip(new, olds, strict=True)] for new, olds in ((u, us), (v, vs)))
    return list(divided), rows, columns


def _plain(u: Tensor, v: Tensor, weight: Tensor) -> Tensor:
    """The division in operations that autograd knows; u and v are padded."""
    matrix = weight.flatten(1)
    rows, columns = matrix.shape
    return weight / torch.dot(u[:rows], matrix.mv(v[:columns]))


class _Divided(torch.autograd.Function):
    """`W / s` with `s = u W v` for constant u and v. The gradient is `G / s - <G, W> / s² u vᵀ`: three operations."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, norms: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(u, v, norms, *weights)
        return tuple(weight / norm for weight, norm in zip(weights, norms, strict=True))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        u, v, norms, *weights = ctx.saved_tensors
        if second_gradients.is_wanted():
            given = zip(u, v, weights, grad_outputs, strict=True)
            return None, None, None, *(_twice_differentiable(*each) for each in given)
        grads = [grad.contiguous() for grad in grad_outputs]
        inner = torch.stack([torch.dot(g.flatten(), w.flatten()) for g, w in zip(grads, weights, strict=True)])
        left = u * (inner / norms.square())[:, None]
        factors, wanted = zip(grads, norms, left, v, strict=True), ctx.needs_input_grad[3:]
        gradients = (_gradient(*each) if asked else None for each, asked in zip(factors, wanted, strict=True))
        return None, None, None, *gradients


def _gradient(grad: Tensor, norm: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`grad / norm - left rightᵀ`; `left` and `right` are padded."""
    out = (grad / norm).flatten(1)
    rows, columns = out.shape
    return out.addcmul_(left[:rows, None], right[None, :columns], value=-1).view_as(grad)


def _twice_differentiable(u: Tensor, v: Tensor, weight: Tensor, grad: Tensor) -> Tensor | None:
    if not weight.requires_grad:
        return None
    (gradient,) = second_gradients.plain_gradients(lambda value: _plain(u, v, value), (weight,), grad)
    return gradient

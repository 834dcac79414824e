"""Spectral norm (Miyato et al., 2018) of many weights at once, for devices where each operation costs a launch.

The vectors of all weights are rows of one matrix, padded with zeros. So they are normalised together, and only the
products with a weight, its division and its gradient are operations of that weight, or of equal small ones together.
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

STACKED_BYTES = 2**20
"""Equal weights up to this size are copied into one tensor, for one operation on all. For larger ones the copy takes
longer than their launches."""


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


@cached_constant
def _numbers(values: tuple[float, ...], *, device: torch.device | None = None) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)


def _runs(weights: Sequence[Tensor]) -> list[slice]:
    """Ranges of neighbours that have one shape and at most `STACKED_BYTES`; larger ones stand alone."""
    runs: list[slice] = []
    for index, weight in enumerate(weights):
        if runs and weight.nbytes <= STACKED_BYTES and weight.shape == weights[index - 1].shape:
            runs[-1] = slice(runs[-1].start, index + 1)
        else:
            runs.append(slice(index, index + 1))
    return runs


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """`torch.stack`; one tensor is not copied."""
    return torch.stack(list(tensors)) if len(tensors) > 1 else tensors[0][None]


def _products(matrices: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
    """Products of each matrix and its vector: n of `[k, rows, columns]` and of `[k, columns]` -> n k of `[rows]`."""
    products: list[Tensor] = []
    for several, theirs in zip(matrices, vectors, strict=True):
        if len(several) == 1:
            products.append(several[0].mv(theirs[0]))
        else:
            products.extend(torch.bmm(several, theirs[:, :, None])[:, :, 0])
    return products


def spectral_weights(
    weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor], gains: Sequence[float], *, move: bool
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Weights divided by their largest singular values, and the vectors that these were computed with.

    A function without side effects: the caller stores the new vectors. The results share no memory with `us` and `vs`.

    Args:
        weights: L weights; a weight is a matrix of its first axis and of all others. Put equal shapes side by side.
        us, vs: Its left and right singular vectors, as known so far.
        gains: Numbers with which the divided weights are multiplied.
        move: Do one step of power iteration first.

    Returns:
        The divided weights, and the vectors, moved or as they were.
    """
    runs = _runs(weights)
    with torch.no_grad():
        stacks = [_stack([weight.flatten(1) for weight in weights[run]]) for run in runs]
        if move:
            turned = _products([stack.mT for stack in stacks], [_stack(us[run]) for run in runs])
            v = F.normalize(_stacked(turned), dim=1, eps=EPS)
        else:
            v = _stacked(vs)
        products = _stacked(
            _products(stacks, [v[run, : stack.shape[2]] for run, stack in zip(runs, stacks, strict=True)])
        )
        u = F.normalize(products, dim=1, eps=EPS) if move else _stacked(us)
        norms = (u * products).sum(dim=1)
    divided: tuple[Tensor, ...] = _Divided.apply(u, v, norms, tuple(gains), stacks, *weights)  # type: ignore[no-untyped-call]
    rows, columns = ([row[: len(old)] for row, old in zip(new, olds, strict=True)] for new, olds in ((u, us), (v, vs)))
    return list(divided), rows, columns


def _plain(u: Tensor, v: Tensor, gain: float, weight: Tensor) -> Tensor:
    """The division in operations that autograd knows; u and v are padded."""
    matrix = weight.flatten(1)
    rows, columns = matrix.shape
    return weight / (torch.dot(u[:rows], matrix.mv(v[:columns])) / gain)


class _Divided(torch.autograd.Function):
    """`gain W / s` with `s = u W v` for constant u and v; `stacks` are the matrices by `_runs`, which are used up.

    The gradient of W is `gain (G / s - <G, W> / s² u vᵀ)`: three operations.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, v: Tensor, norms: Tensor, gains: tuple[float, ...], stacks: list[Tensor], *weights: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.gains = gains
        divisors = norms if set(gains) == {1.0} else norms / _numbers(gains, device=u.device, dtype=u.dtype)
        ctx.save_for_backward(u, v, norms, divisors, *weights)
        divided: list[Tensor] = []
        for run, stack in zip(_runs(weights), stacks, strict=True):
            if len(stack) == 1:
                divided.append(weights[run.start] / divisors[run.start])
            else:
                together = stack.div_(divisors[run, None, None])
                divided.extend(one.view_as(weight) for one, weight in zip(together, weights[run], strict=True))
        return tuple(divided)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        u, v, norms, divisors, *weights = ctx.saved_tensors
        if second_gradients.is_wanted():
            given = zip(u, v, ctx.gains, weights, grad_outputs, strict=True)
            return *5 * [None], *(_twice_differentiable(*each) for each in given)
        runs = _runs(weights)
        grads = [_stack([grad.contiguous().flatten(1) for grad in grad_outputs[run]]) for run in runs]
        inner = torch.cat([_inner(grad, weights[run]) for run, grad in zip(runs, grads, strict=True)])
        left = u * (inner / (norms * divisors))[:, None]
        gradients: list[Tensor] = []
        for run, grad in zip(runs, grads, strict=True):
            gradients.extend(_gradient(grad, divisors[run], left[run], v[run]))
        wanted = zip(gradients, weights, ctx.needs_input_grad[5:], strict=True)
        return *5 * [None], *(grad.view_as(weight) if asked else None for grad, weight, asked in wanted)


def _inner(grads: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Inner products of gradients and weights, `[k, rows, columns], k weights -> [k]`."""
    if len(weights) == 1:
        return torch.dot(grads.flatten(), weights[0].flatten())[None]
    return (grads * _stack([weight.flatten(1) for weight in weights])).sum(dim=(1, 2))


def _gradient(grads: Tensor, divisors: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`grad / divisor - left rightᵀ` of k weights, `[k, rows, columns]`; `left` and `right` are padded."""
    rows, columns = grads.shape[1:]
    out = grads / divisors[:, None, None]
    return out.addcmul_(left[:, :rows, None], right[:, None, :columns], value=-1)


def _twice_differentiable(u: Tensor, v: Tensor, gain: float, weight: Tensor, grad: Tensor) -> Tensor | None:
    if not weight.requires_grad:
        return None
    (gradient,) = second_gradients.plain_gradients(lambda value: _plain(u, v, gain, value), (weight,), grad)
    return gradient

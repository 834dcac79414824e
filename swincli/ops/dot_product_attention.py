"""Attention of some queries to other keys, `softmax(q kᵀ / sqrt(d) + bias) v`, with little memory on every device.

Window attention, with as many keys as queries in the same windows, has operations of its own: `window_attention` on a
CPU, `fused_attention` on a GPU. This one serves all other kinds. Its backward pass computes the weights again, so that
only q, k, v and the bias are kept. A CPU works on some elements of the batch at a time; a GPU runs PyTorch's fused
kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops import cpu_tiles, second_gradients
from swincli.ops.cpu_tiles import on_gpu_path, positions_per_tile, use_tiles
from swincli.ops.fused_attention import ALIGNED, BIAS_GRADIENT_BYTES, TOLERANCE, scaled_dot_product
from swincli.ops.precision import exact_float32

LONGEST_TESTED = 256
"""The self-test of the kernel has no more queries and keys than this."""


def dot_product_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """`softmax(q kᵀ / sqrt(d) + bias) v`, differentiable any number of times.

    Args:
        q: Queries, `[N, h, P, d]`.
        k, v: Keys and values, `[N, h, K, d]`; never expanded ones.
        bias: Added to the logits, `[h, P, K]`; -inf hides a key. None for no bias.

    Returns:
        `[N, h, P, d]`.
    """
    if on_gpu_path(q):
        if not _has_kernel(q, k, bias):
            return _plain(q, k, v, bias)
        if torch.compiler.is_compiling():  # the compiler makes the gradient itself
            return _by_kernel(q, k, v, None if bias is None else bias[None].to(q.dtype))
    elif not use_tiles(q):
        return _plain(q, k, v, bias)
    if torch.is_grad_enabled() and (on_gpu_path(q) or _score_bytes(q, k) >= cpu_tiles.LARGE_BYTES):
        out: Tensor = _Attention.apply(q, k, v, bias)  # type: ignore[no-untyped-call]
        return out
    return _plain(q, k, v, bias) if torch.is_grad_enabled() else _forward(q, k, v, bias)


def _plain(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    weights: Tensor = (logits if bias is None else logits + bias).softmax(dim=-1)
    return weights.to(v.dtype) @ v


def _by_kernel(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attention by PyTorch's operation; `bias` is `[1 or N, h, P, K]`."""
    dim = q.shape[-1]
    spare = -dim % ALIGNED if q.element_size() == 2 else 0
    if spare:
        q, k, v = (F.pad(value, (0, spare)) for value in (q, k, v))
    return scaled_dot_product(q, k, v, bias, dim**-0.5)[..., :dim]


def _core(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attention of a piece, with a bias `[1 or N, h, P, K]`; without one the kernel of a CPU is good too."""
    return _by_kernel(q, k, v, bias) if on_gpu_path(q) or bias is None else _plain(q, k, v, bias)


def _score_bytes(q: Tensor, k: Tensor) -> int:
    return q.shape[:-1].numel() * k.shape[2] * q.element_size()


def _piece_size(q: Tensor, k: Tensor, *, learned: bool = False) -> int:
    """Elements of the batch that are computed at once.

    Args:
        q, k: Queries and keys.
        learned: Whether gradients of the bias are made, which the kernel of a GPU writes for every element.
    """
    scores = q.shape[1] * q.shape[2] * k.shape[2]
    if not on_gpu_path(q):
        return positions_per_tile(q, scores)
    return max(1, BIAS_GRADIENT_BYTES // (scores * q.element_size())) if learned else max(1, len(q))


def _forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    added = None if bias is None else bias[None].to(q.dtype)
    step = _piece_size(q, k)
    if step >= len(q):
        return _core(q, k, v, added)
    out = v.new_empty(*q.shape[:3], v.shape[3])
    for one, keys, values, result in zip(*(each.split(step) for each in (q, k, v, out)), strict=True):
        result.copy_(_core(one, keys, values, added))
    return out


class _Attention(torch.autograd.Function):
    """Attention piece by piece; backward runs each piece again. For second gradients `_plain`."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(q, k, v, bias)
        return _forward(q, k, v, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias = ctx.saved_tensors
        (grad,) = grad_outputs
        if second_gradients.is_wanted():
            return second_gradients.plain_gradients(_plain, (q, k, v, bias), grad)
        learned = bias is not None and ctx.needs_input_grad[3]
        step = _piece_size(q, k, learned=learned)
        parts = zip(*(value.split(step) for value in (q, k, v, grad)), strict=True)
        found = [_of_piece(part, bias, learned=learned) for part in parts]
        of_q, of_k, of_v = (torch.cat(pieces) for pieces in list(zip(*found, strict=True))[:3])
        of_bias = functools.reduce(torch.add, (piece[3] for piece in found)) if learned else None
        return of_q, of_k, of_v, of_bias


def _of_piece(given: Sequence[Tensor], bias: Tensor | None, *, learned: bool) -> tuple[Tensor, ...]:
    """Gradients of q, k and v and, if it is learned, of the bias, from q, k, v and the gradient of the result.

    q, k and v always have theirs made: CUDA's kernel has failed where only the bias needed one.
    """
    with torch.enable_grad():
        q, k, v, grad = given
        inputs = [value.detach().requires_grad_() for value in (q, k, v)]
        added = None if bias is None else bias.detach()[None].to(q.dtype)
        if learned and added is not None:
            added = added.expand(len(q), -1, -1, -1).requires_grad_()  # then all is summed at once
            inputs.append(added)
        out = _core(inputs[0], inputs[1], inputs[2], added)
    found = torch.autograd.grad(out, inputs, grad)
    return found if bias is None or not learned else (*found[:3], found[3].sum(dim=0, dtype=bias.dtype))


def _has_kernel(q: Tensor, k: Tensor, bias: Tensor | None) -> bool:
    """Whether the kernel runs: on CUDA where its self-test passes, and where a CPU acts as a GPU."""
    if q.device.type != "cuda":
        return q.device.type in ("cpu", "meta")
    queries, keys = (min(value.shape[2], LONGEST_TESTED) for value in (q, k))
    return kernel_is_right(q.device, q.dtype, q.shape[-1], queries, keys, bias is not None)


def kernel_is_right(device: torch.device, dtype: torch.dtype, dim: int, queries: int, keys: int, biased: bool) -> bool:
    """Whether attention on this device by the kernel agrees with the plain way in values and gradients; tried once."""
    return _passes(device, dtype, dim, queries, keys, biased)


# What torch.compiler.assume_constant_result does; that would import the compiler, which takes two seconds.
kernel_is_right._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.cache
def _passes(device: torch.device, dtype: torch.dtype, dim: int, queries: int, keys: int, biased: bool) -> bool:
    try:
        worst = largest_difference(device, dtype, dim, queries, keys, biased=biased)
    except RuntimeError:  # there is no such kernel for this device or these sizes
        return False
    return worst <= TOLERANCE.get(dtype, 0.0)


def largest_difference(
    device: torch.device, dtype: torch.dtype, dim: int, queries: int, keys: int, *, biased: bool
) -> float:
    """Self-test of the kernel: the largest difference from the plain way in float32, relative to the largest value.

    It compares the output and the gradients of q, k, v and the bias, which hides some keys. NaN counts as infinite.
    """
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).to(device)

    with torch.inference_mode(False), torch.enable_grad(), exact_float32(device):
        q, weight = draw(2, 2, queries, dim), draw(2, 2, queries, dim)
        given = [value.to(dtype) for value in (q, draw(2, 2, keys, dim), draw(2, 2, keys, dim))]
        bias = draw(2, queries, keys).masked_fill(draw(2, queries, keys) > 2, float("-inf")) if biased else None
        by_kernel = _out_and_gradients(given, bias, weight.to(dtype), plain=False)
        plain = _out_and_gradients([value.float() for value in given], bias, weight, plain=True)
    differences = [
        ((one.float() - other).abs().max() / other.abs().max()).nan_to_num(nan=float("inf")).item()
        for one, other in zip(by_kernel, plain, strict=True)
    ]
    return max(differences)


def _out_and_gradients(given: list[Tensor], bias: Tensor | None, weight: Tensor, *, plain: bool) -> tuple[Tensor, ...]:
    """The output and the gradients of its product with `weight`, by the kernel or the plain way."""
    q, k, v = (value.detach().requires_grad_(plain) for value in given)
    learned = None if bias is None else bias.detach().requires_grad_(plain)
    if plain:
        out = _plain(q, k, v, learned)
        inputs = [value for value in (q, k, v, learned) if value is not None]
        return out.detach(), *torch.autograd.grad(out, inputs, weight)
    with torch.no_grad():
        out = _by_kernel(q, k, v, None if bias is None else bias[None].to(q.dtype))
    return out, *_of_piece((q, k, v, weight), bias, learned=bias is not None)

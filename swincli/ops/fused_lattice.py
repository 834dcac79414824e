"""Attention in the tiles of a lattice by PyTorch's fused kernel, `F.scaled_dot_product_attention`, for GPUs.

The logits of a tile never reach the GPU's memory in the forward pass, and only qkv and the bias are kept for the
backward pass. The kernel takes a batch, positions, heads and the channels of a head. A line of tiles of one image is an
element of the batch; its tiles are heads. So lines of tiles share a bias, which is not repeated for every tile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops import second_gradients
from swincli.ops.cpu_tiles import on_gpu_path
from swincli.ops.fused_attention import ALIGNED, BIAS_GRADIENT_BYTES, TOLERANCE, scaled_dot_product
from swincli.ops.lattice import Lattice, bias_of_lines, plain_gradients, plain_lattice_attention
from swincli.ops.precision import exact_float32


def use_fused(qkv: Tensor, lattice: Lattice) -> bool:
    """Whether `fused_lattice_attention` runs: on CUDA where the self-test passes, and where a CPU acts as a GPU."""
    if not on_gpu_path(qkv):
        return False
    if qkv.device.type == "cuda":
        return kernel_is_right(qkv.device, qkv.dtype, qkv.shape[-1], lattice.side, lattice.halo)
    return qkv.device.type in ("cpu", "meta")


def fused_lattice_attention(qkv: Tensor, lattice: Lattice, bias: Tensor | None) -> Tensor:
    """`[B, H, W, 3, h, d] -> [B, H, W, h, d]`, with the arguments of `lattice_attention`."""
    if torch.compiler.is_compiling():  # the compiler makes the gradient itself
        return _fused(qkv, lattice, bias)
    out: Tensor = _FusedAttention.apply(qkv, lattice, bias)  # type: ignore[no-untyped-call]
    return out


def _fused(qkv: Tensor, lattice: Lattice, bias: Tensor | None) -> Tensor:
    q, k, v = _aligned_cut(qkv, lattice)
    results = []
    for part, of_tiles in bias_of_lines(q, lattice, bias):
        given = [values[part].flatten(0, 1) for values in (q, k, v)]
        results.append(_call(given, _of_heads(of_tiles, q), qkv.shape[-1] ** -0.5).reshape(q[part].shape))
    whole = torch.cat(results) if len(results) > 1 else results[0]
    return lattice.assemble(whole[..., : qkv.shape[-1]], len(qkv))


def _aligned_cut(qkv: Tensor, lattice: Lattice) -> tuple[Tensor, ...]:
    """`Lattice.cut`; in 16 bits, the channels of a head are padded with zeros to what the kernel takes."""
    return tuple(_aligned(values) for values in lattice.cut(qkv))


def _aligned(values: Tensor) -> Tensor:
    spare = -values.shape[-1] % ALIGNED if values.element_size() == 2 else 0
    return F.pad(values, (0, spare)) if spare else values


def _of_heads(bias: Tensor | None, q: Tensor) -> Tensor | None:
    """The bias of a line for the kernel, whose heads are those of all tiles: `[M or 1, h, P, K] -> [1, M h, P, K]`.

    Its rows start at multiples of `ALIGNED` entries. Else PyTorch would pad it, in the backward pass once for each line
    of each image.
    """
    if bias is None:
        return None
    spare = -bias.shape[-1] % ALIGNED
    of_heads = bias.expand(q.shape[3], -1, -1, -1).flatten(0, 1)[None].to(q.dtype)
    return F.pad(of_heads, (0, spare))[..., : bias.shape[-1]] if spare else of_heads


def _call(qkv: Sequence[Tensor], bias: Tensor | None, scale: float) -> Tensor:
    """Attention of lines of tiles, `[n, P, M, h, d']`; a line of one image is an element of the kernel's batch."""
    q, k, v = (values.flatten(2, 3).transpose(1, 2) for values in qkv)
    return scaled_dot_product(q, k, v, bias, scale).transpose(1, 2)


class _FusedAttention(torch.autograd.Function):
    """`_fused`; backward runs the kernel again, so that only its inputs are kept. Second gradients: the plain way."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, lattice: Lattice, bias: Tensor | None) -> Tensor:
        ctx.lattice = lattice
        ctx.save_for_backward(qkv, bias)
        return _fused(qkv, lattice, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        qkv, bias = ctx.saved_tensors
        (grad,) = grad_outputs
        if second_gradients.is_wanted():
            return plain_gradients(ctx.lattice, qkv, bias, grad)
        learned = bias is not None and ctx.needs_input_grad[2]
        return _fused_gradients(qkv, bias, grad, ctx.lattice, learned=learned)


def _fused_gradients(
    qkv: Tensor, bias: Tensor | None, grad: Tensor, lattice: Lattice, *, learned: bool
) -> tuple[Tensor, None, Tensor | None]:
    """Gradients of qkv, of the lattice (None) and, if it is learned, of the bias."""
    outer, scale = _aligned(lattice.queries(grad)), qkv.shape[-1] ** -0.5
    with torch.enable_grad():
        leaf, table = qkv.detach().requires_grad_(), None if bias is None else bias.detach().requires_grad_(learned)
        cut = _aligned_cut(leaf, lattice)
        parts = bias_of_lines(cut[0], lattice, table)
    of_cut: list[list[Tensor]] = [[], [], []]
    of_tiles = []
    for part, tiles in parts:
        given = [values.detach()[part].flatten(0, 1) for values in (*cut, outer)]
        *found, of_bias = _of_part(given, None if tiles is None else tiles.detach(), scale, learned=learned)
        of_tiles.append(of_bias)
        for pieces, values, whole in zip(of_cut, found, cut, strict=True):
            pieces.append(values.reshape(whole[part].shape))
    (grad_qkv,) = torch.autograd.grad(cut, leaf, [torch.cat(pieces) for pieces in of_cut])
    if table is None or not learned:
        return grad_qkv, None, None
    return grad_qkv, None, torch.autograd.grad([tiles for _, tiles in parts if tiles is not None], table, of_tiles)[0]


def _of_part(given: Sequence[Tensor], bias: Tensor | None, scale: float, *, learned: bool) -> tuple[Tensor, ...]:
    """Gradients of q, k and v of lines that share a bias, and of that bias, 0 if it is not learned.

    The kernel writes the bias' gradient of every line of every image. So they are taken in pieces of
    `BIAS_GRADIENT_BYTES`. q, k and v always have their gradients made: the kernel has failed where only the bias had.

    Args:
        given: q, k, v and the gradient of the result, `[n, P or K, M, h, d']`.
        bias: `[M or 1, h, P, K]`, or None.
        scale: Of the logits.
        learned: Whether the bias has a gradient.
    """
    q, k, _, outer = given
    of_one = q.shape[1] * k.shape[1] * q.shape[2] * q.shape[3] * q.element_size()
    step = max(1, BIAS_GRADIENT_BYTES // of_one) if learned else len(q)
    of_bias = q.new_zeros(()) if bias is None else torch.zeros_like(bias)
    pieces = []
    for start in range(0, len(q), step):
        with torch.enable_grad():
            inputs = [values[start : start + step].detach().requires_grad_() for values in given[:3]]
            of_heads = _of_heads(bias, q[None])
            if learned and of_heads is not None:
                of_heads = of_heads.expand(len(inputs[0]), -1, -1, -1).requires_grad_()  # then all is summed at once
                inputs.append(of_heads)
            out = _call(inputs[:3], of_heads, scale)
        found = torch.autograd.grad(out, inputs, outer[start : start + step].flatten(2, 3))
        pieces.append(found[:3])
        if learned and bias is not None:
            summed = found[3].unflatten(1, (-1, bias.shape[1])).sum(dim=0, dtype=bias.dtype)
            of_bias += summed.sum(dim=0, keepdim=True) if len(bias) == 1 else summed
    return *(torch.cat(values) for values in zip(*pieces, strict=True)), of_bias


def kernel_is_right(device: torch.device, dtype: torch.dtype, dim: int, side: int, halo: int) -> bool:
    """Whether attention on this device by the fused kernel agrees with the plain way in values and gradients.

    It is tried once, on a few tiles, and takes some milliseconds.
    """
    return _passes(device, dtype, dim, side, halo)


# What torch.compiler.assume_constant_result does; that would import the compiler, which takes two seconds.
kernel_is_right._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.cache
def _passes(device: torch.device, dtype: torch.dtype, dim: int, side: int, halo: int) -> bool:
    try:
        worst = largest_difference(device, dtype, dim, Lattice(side, 2, halo))
    except RuntimeError:  # there is no such kernel for this device or these sizes
        return False
    return worst <= TOLERANCE.get(dtype, 0.0)


def largest_difference(device: torch.device, dtype: torch.dtype, dim: int, lattice: Lattice) -> float:
    """Self-test of the kernel: the largest difference from the plain way in float32, relative to the largest value.

    It compares the output and the gradients of qkv and the bias in a map of 2 x 3 tiles. NaN counts as infinite.
    """
    heads, classes, random = 2, 3 if lattice.halo else 1, torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).to(device)

    rows, columns = (count * lattice.side * lattice.dilation for count in (2, 3))
    with torch.inference_mode(False), torch.enable_grad(), exact_float32(device):
        maps, weight = draw(2, rows, columns, 3, heads, dim).to(dtype), draw(2, rows, columns, heads, dim).to(dtype)
        bias = draw(classes, classes, heads, lattice.side**2, lattice.keys_side**2)
        fused = _out_and_gradients(_FusedAttention.apply, maps, bias, weight, lattice)
        plain = _out_and_gradients(plain_lattice_attention, maps.float(), bias, weight.float(), lattice)
    differences = [
        ((one.float() - other).abs().max() / other.abs().max()).nan_to_num(nan=float("inf")).item()
        for one, other in zip(fused, plain, strict=True)
    ]
    return max(differences)


def _out_and_gradients(
    attend: Callable[..., Tensor], maps: Tensor, bias: Tensor, weight: Tensor, lattice: Lattice
) -> tuple[Tensor, ...]:
    """The output, and the gradients of its product with `weight`."""
    inputs = [maps.requires_grad_(), bias.detach().requires_grad_()]
    out = attend(inputs[0], lattice, inputs[1])
    return out.detach(), *torch.autograd.grad((out * weight).sum(), inputs)

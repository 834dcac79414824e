"""Window attention by PyTorch's fused kernel, `F.scaled_dot_product_attention`, for GPUs.

The logits of a window never reach the GPU's memory in the forward pass, and nothing of their size is kept for the
backward pass. Three operations: cut the map into windows, attend, put the windows together.

The kernel takes a batch, positions, heads and the channels of a head. A row of windows is one element of the batch; its
windows are heads. So one bias of a row, with the seam masked in the last window, serves all rows but the lowest,
and a second one serves that. No mask of all windows is made. Only a small map is one element, with one bias for all of
it: then a call of the kernel for the lowest row is saved.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from swincli.ops import second_gradients
from swincli.ops.constants import cached_constant
from swincli.ops.cpu_tiles import on_gpu_path
from swincli.ops.precision import exact_float32
from swincli.ops.windows import WindowGrid, edge_masks

ALIGNED = 8
"""The kernel takes channels of a head in multiples of this in 16 bits; others are padded with zeros."""

BIAS_GRADIENT_BYTES = 2**28
"""The kernel writes the bias' gradient of every window before it is summed. Larger ones are made piece by piece."""

WHOLE_BIAS_BYTES = 2**22
"""Shifted maps whose bias for all windows is no larger are one element of the batch."""

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 3e-2, torch.float16: 5e-3}
"""Largest difference from the plain way that passes the self-test, relative to the largest value."""


class Layout(NamedTuple):
    """How a map is cut into windows.

    Attributes:
        side: Side of a window.
        shifts: Shift of every head group.
        dim: Channels of a head.
        rows: Rows of windows that are one element of the batch: 1, or all of the map.
    """

    side: int
    shifts: tuple[int, ...]
    dim: int
    rows: int = 1


def use_fused(qkv: Tensor, grids: Sequence[WindowGrid]) -> bool:
    """Whether `fused_window_attention` runs: on CUDA where the self-test passes, and where a CPU acts as a GPU."""
    if len({grid.side for grid in grids}) > 1 or not on_gpu_path(qkv):
        return False
    if qkv.device.type == "cuda":
        return kernel_is_right(qkv.device, qkv.dtype, qkv.shape[-1], grids[0].side)
    return qkv.device.type in ("cpu", "meta")


def fused_window_attention(qkv: Tensor, grids: Sequence[WindowGrid], bias: Tensor | None) -> Tensor:
    """`[B, H, W, 3, G, h, d] -> [B, H, W, G, h, d]`.

    Args:
        qkv: Queries, keys and values of every head group.
        grids: The windows of each group, all of one side.
        bias: Added to the logits of every pair of positions, `[G, h, side², side²]`; None for no bias.
    """
    layout = _layout(qkv, grids)
    if torch.compiler.is_compiling():  # the compiler makes the gradient itself
        windows = _cut(qkv, layout)
        return _assemble(_attend(windows, bias, layout)[None], layout).squeeze(3)
    windows = _Rearranged.apply(qkv, layout, True)  # type: ignore[no-untyped-call]
    attended = _Attend.apply(windows, bias, layout)  # type: ignore[no-untyped-call]
    out: Tensor = _Rearranged.apply(attended[None], layout, False)  # type: ignore[no-untyped-call]
    return out.squeeze(3)


def _layout(qkv: Tensor, grids: Sequence[WindowGrid]) -> Layout:
    """How `[B, H, W, 3, G, h, d]` is cut."""
    side, shifts = grids[0].side, tuple(grid.shift for grid in grids)
    (height, width), (groups, heads, dim) = qkv.shape[1:3], qkv.shape[4:]
    is_small = height * width * side**2 * groups * heads * 4 <= WHOLE_BIAS_BYTES
    return Layout(side, shifts, dim, rows=height // side if any(shifts) and is_small else 1)


def scaled_dot_product(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """Attention by PyTorch: `[N, heads, P, d] -> [N, heads, P, d]`, with a bias `[1, heads, P, P]` or None.

    On CUDA by the memory-efficient kernel: the other fast one takes no bias, and cuDNN's has returned NaN gradients for
    windows of 64 tokens.
    """
    efficient = q.device.type == "cuda"
    with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION) if efficient else contextlib.nullcontext():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)


@cached_constant
def seam_mask(
    side: int, columns: int, shifts: tuple[int, ...], rows: int = 1, *, device: torch.device | None = None
) -> Tensor:
    """What is added to the logits of a row of windows: 0, or -inf between opposite sides of the image.

    float32 `[2, columns, G, 1, side², side²]`; the second of the two is for the lowest row. With more `rows`, it is for
    all of them: `[1, rows * columns, G, 1, side², side²]`.
    """
    below, right = edge_masks(side, device=device)
    column, row = torch.arange(columns, device=device), torch.arange(2, device=device)
    of_row = right & (column == columns - 1)[:, None, None]
    seam = (of_row | below & (row == 1)[:, None, None, None])[:, :, None, None]
    masked = torch.cat([seam if shift else torch.zeros_like(seam) for shift in shifts], dim=2)
    mask = torch.zeros(masked.shape, device=device).masked_fill(masked, float("-inf"))
    return mask if rows == 1 else torch.cat((rows - 1) * [mask[:1]] + [mask[1:]], dim=1)


@cached_constant
def rolled(length: int, shift: int, side: int = 1, *, device: torch.device | None = None) -> Tensor:
    """Positions of an axis that is rolled back by `shift`, as windows and places inside them: int64 `[2, length]`."""
    position = (torch.arange(length, device=device) + shift) % length
    return torch.stack([position // side, position % side])


def _cut(x: Tensor, layout: Layout) -> Tensor:
    """Cut n maps into windows: `[B, H, W, n, G, h, d] -> [n, nH, B, side², nW, G, h, d']`.

    In 16 bits, d' is d padded to a multiple of `ALIGNED`. nH counts the batch's elements in a map, nW their windows.
    """
    groups = [_roll(x[:, :, :, :, group], shift) for group, shift in enumerate(layout.shifts)]
    split = [part.unflatten(2, (-1, layout.side)).unflatten(1, (-1, layout.rows, layout.side)) for part in groups]
    # [B, nH, rows, side, columns, side, n, h, d] -> [n, nH, B, side, side, rows, columns, h, d]
    windows = torch.stack([part.permute(6, 1, 0, 3, 5, 2, 4, 7, 8) for part in split], dim=7)
    windows = windows.flatten(5, 6).flatten(3, 4)
    spare = -layout.dim % ALIGNED if x.element_size() == 2 else 0
    return F.pad(windows, (0, spare)) if spare else windows


def _assemble(windows: Tensor, layout: Layout) -> Tensor:
    """The reverse of `_cut`: `[n, nH, B, side², nW, G, h, d'] -> [B, H, W, n, G, h, d]`."""
    split = windows[..., : layout.dim].unflatten(4, (layout.rows, -1)).unflatten(3, (layout.side, layout.side))
    # [n, nH, B, side, side, rows, columns, h, d] -> [B, all rows, side, columns, side, n, h, d]
    groups = [part.permute(2, 1, 5, 3, 6, 4, 0, 7, 8).flatten(1, 2) for part in split.unbind(7)]
    maps = [_unroll(part, shift) for part, shift in zip(groups, layout.shifts, strict=True)]
    return torch.stack(maps, dim=6).flatten(3, 4).flatten(1, 2)


def _roll(x: Tensor, shift: int) -> Tensor:
    """`[B, H, W, ...]`, rolled up and to the left by `shift`, in one pass."""
    if not shift:
        return x
    if torch.compiler.is_compiling():
        return x.roll((-shift, -shift), (1, 2))
    rows, columns = (rolled(length, shift, device=x.device)[0] for length in x.shape[1:3])
    return x[:, rows[:, None], columns]


def _unroll(x: Tensor, shift: int) -> Tensor:
    """`[B, nH, side, nW, side, ...]`, its map rolled down and to the right by `shift`."""
    if not shift:
        return x
    rows, side, columns = x.shape[1:4]
    if torch.compiler.is_compiling():
        whole = x.flatten(3, 4).flatten(1, 2).roll((shift, shift), (1, 2))
    else:
        (row, y), (column, x_inside) = (
            rolled(count * side, -shift, side, device=x.device).unbind(0) for count in (rows, columns)
        )
        whole = x[:, row[:, None], y[:, None], column, x_inside]
    out: Tensor = whole.unflatten(2, (columns, side)).unflatten(1, (rows, side))
    return out


class _Rearranged(torch.autograd.Function):
    """`_cut` or, if not `cuts`, `_assemble`. The gradient is the other one, which can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: Layout, cuts: bool) -> Tensor:
        ctx.layout, ctx.cuts = layout, cuts
        return _cut(x, layout) if cuts else _assemble(x, layout)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return _Rearranged.apply(grad_outputs[0], ctx.layout, not ctx.cuts), None, None  # type: ignore[no-untyped-call]


def _masked_bias(windows: Tensor, bias: Tensor | None, layout: Layout) -> Tensor | None:
    """Bias and seam of a row of windows, `[2, nW, G, h, side², side²]`; None without either.

    Without a shift, and for a whole map, it is `[1, nW, G, ...]`.
    """
    columns, _, heads = windows.shape[4:7]
    if any(layout.shifts):
        mask = seam_mask(layout.side, columns // layout.rows, layout.shifts, layout.rows, device=windows.device)
        return mask.expand(-1, -1, -1, heads, -1, -1) if bias is None else bias + mask
    return None if bias is None else bias.expand(1, columns, *bias.shape)


class _Part(NamedTuple):
    """Rows of windows that share a bias.

    Attributes:
        rows: The rows.
        bias: Their bias, `[1, heads, side², side²]`, in the dtype of the windows; None for no bias.
    """

    rows: slice
    bias: Tensor | None

    def batch(self, windows: Tensor) -> Tensor:
        """`[n, nH, B, side², nW, G, h, d] -> [n, N, side², heads, d]` without a copy."""
        return windows[:, self.rows].flatten(4, 6).flatten(1, 2)


def _parts(windows: Tensor, bias: Tensor | None, layout: Layout) -> list[_Part]:
    """The parts of `[n, nH, B, side², nW, G, h, d]`, from the first row to the last."""
    masked = _masked_bias(windows, bias, layout)
    if masked is None:
        return [_Part(slice(None), None)]
    of_rows = masked.to(windows.dtype).reshape(len(masked), 1, -1, *masked.shape[-2:])
    if len(of_rows) == 1 or windows.shape[1] == 1:
        return [_Part(slice(None), of_rows[-1])]
    return [_Part(slice(None, -1), of_rows[0]), _Part(slice(-1, None), of_rows[1])]


def _call(qkv: Sequence[Tensor], bias: Tensor | None, scale: float) -> Tensor:
    """Attention of `[N, side², heads, d]` in that order of axes, which is the kernel's own."""
    q, k, v = (value.transpose(1, 2) for value in qkv)
    return scaled_dot_product(q, k, v, bias, scale).transpose(1, 2)


def _attend(windows: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
    """`[3, nH, B, side², nW, G, h, d'] -> [nH, B, side², nW, G, h, d']`."""
    parts = _parts(windows, bias, layout)
    results = [_call(part.batch(windows).unbind(0), part.bias, layout.dim**-0.5) for part in parts]
    whole = torch.cat(results) if len(results) > 1 else results[0]
    return whole.reshape(windows.shape[1:])


def _plain(windows: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
    """`_attend` in operations that can be differentiated any number of times."""
    q, k, v = windows.movedim(3, 6).unbind(0)  # [nH, B, nW, G, h, side², d']
    logits = (q * layout.dim**-0.5) @ k.transpose(-1, -2)
    masked = _masked_bias(windows, bias, layout)
    if masked is not None and len(masked) == 1:
        logits = logits + masked[0]
    elif masked is not None:
        logits = torch.cat([logits[:-1] + masked[0], logits[-1:] + masked[1]])
    weights: Tensor = logits.softmax(dim=-1).to(v.dtype)
    return (weights @ v).movedim(5, 2)


class _Attend(torch.autograd.Function):
    """`_attend`; backward runs the kernel again, so that only its inputs are kept. For second gradients `_plain`."""

    @staticmethod
    def forward(ctx: Any, windows: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
        ctx.layout = layout
        ctx.save_for_backward(windows, bias)
        return _attend(windows, bias, layout)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        windows, bias = ctx.saved_tensors
        (grad,) = grad_outputs
        if second_gradients.is_wanted():
            plain = functools.partial(_plain, layout=ctx.layout)
            return *second_gradients.plain_gradients(plain, (windows, bias), grad), None
        learned = bias is not None and ctx.needs_input_grad[1]
        return *_gradients(windows, bias, grad, ctx.layout, learned=learned), None


def _gradients(
    windows: Tensor, bias: Tensor | None, grad: Tensor, layout: Layout, *, learned: bool
) -> tuple[Tensor, Tensor | None]:
    """Gradients of the windows and, if it is learned, of the bias."""
    pieces: list[Sequence[Tensor]] = []
    of_bias: list[Tensor] = []
    for part in _parts(windows, bias, layout):
        qkv, outer = part.batch(windows), part.batch(grad[None])[0]
        step = _piece_size(qkv) if learned else len(outer)
        for start in range(0, len(outer), step):
            here = slice(start, start + step)
            found = _of_piece(qkv[:, here].unbind(0), part.bias, outer[here], layout.dim**-0.5, learned=learned)
            pieces.append(found[:3])
            of_bias.extend(found[3:])
    in_order = [gradient for of_one in zip(*pieces, strict=True) for gradient in of_one]
    grad_windows = torch.cat(in_order).reshape(windows.shape)
    if bias is None or not of_bias:
        return grad_windows, None
    sums = [each.reshape(-1, *bias.shape).sum(dim=0, dtype=bias.dtype) for each in of_bias]
    return grad_windows, functools.reduce(torch.add, sums)


def _piece_size(qkv: Tensor) -> int:
    """Elements of the batch `[3, N, side², heads, d]` whose gradients of the bias take `BIAS_GRADIENT_BYTES`."""
    return max(1, BIAS_GRADIENT_BYTES // (qkv.shape[3] * qkv.shape[2] ** 2 * qkv.element_size()))


def _of_piece(
    qkv: Sequence[Tensor], bias: Tensor | None, grad: Tensor, scale: float, *, learned: bool
) -> tuple[Tensor, ...]:
    """Gradients of q, k and v of one call of the kernel and, if it is learned, of the bias.

    q, k and v always have theirs made: the kernel has failed where only the bias needed one.
    """
    with torch.enable_grad():
        inputs = [value.detach().requires_grad_() for value in qkv]
        if learned and bias is not None:
            bias = bias.detach().expand(len(grad), -1, -1, -1).requires_grad_()  # then all is summed at once
            inputs.append(bias)
        out = _call(inputs[:3], bias, scale)
    return torch.autograd.grad(out, inputs, grad)


def kernel_is_right(device: torch.device, dtype: torch.dtype, dim: int, side: int) -> bool:
    """Whether attention on this device by the fused kernel agrees with the plain way in values and gradients.

    It is tried once, on a few windows, and takes some milliseconds.
    """
    return _passes(device, dtype, dim, side)


# What torch.compiler.assume_constant_result does; that would import the compiler, which takes two seconds.
kernel_is_right._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.cache
def _passes(device: torch.device, dtype: torch.dtype, dim: int, side: int) -> bool:
    try:
        worst = largest_difference(device, dtype, dim, side)
    except RuntimeError:  # there is no such kernel for this device or these sizes
        return False
    return worst <= TOLERANCE.get(dtype, 0.0)


def largest_difference(device: torch.device, dtype: torch.dtype, dim: int, side: int) -> float:
    """Self-test of the kernel: the largest difference from the plain way in float32, relative to the largest value.

    It compares the output and the gradients of q, k, v and the bias in a shifted map of 2 x 3 windows. NaN counts as
    infinite.
    """
    layout, heads, random = Layout(side, (0, side // 2), dim), 2, torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).to(device)

    with torch.inference_mode(False), torch.enable_grad(), exact_float32(device):
        maps = draw(2, 2 * side, 3 * side, 3, 2, heads, dim).to(dtype)
        bias, weight = draw(2, heads, side**2, side**2), draw(2, 2 * side, 3 * side, 2, heads, dim).to(dtype)
        fused = _out_and_gradients(_Attend.apply, maps, bias, weight, layout)
        plain = _out_and_gradients(_plain, maps.float(), bias, weight.float(), layout)
    differences = [
        ((one.float() - other).abs().max() / other.abs().max()).nan_to_num(nan=float("inf")).item()
        for one, other in zip(fused, plain, strict=True)
    ]
    return max(differences)


def _out_and_gradients(
    attend: Callable[..., Tensor], maps: Tensor, bias: Tensor, weight: Tensor, layout: Layout
) -> tuple[Tensor, ...]:
    """The output, and the gradients of its product with `weight`."""
    inputs = [maps.requires_grad_(), bias.detach().requires_grad_()]
    windows = _Rearranged.apply(inputs[0], layout, True)  # type: ignore[no-untyped-call]
    out = _Rearranged.apply(attend(windows, inputs[1], layout)[None], layout, False).squeeze(3)  # type: ignore[no-untyped-call]
    return out.detach(), *torch.autograd.grad((out * weight).sum(), inputs)

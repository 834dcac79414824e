"""The [1, 3, 3, 1] FIR filter of StyleGAN2 (Karras et al., 2020): blur, downsample and upsample.

All three are depthwise and work on `[B, C, H, W]`. R1 needs second gradients, so they can be differentiated any number
of times.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from swincli.ops.constants import cached_constant
from swincli.ops.precision import in_float32

TAPS = (1.0, 3.0, 3.0, 1.0)


@cached_constant
def fir_weight(channels: int, gain: float = 1.0, *, device: torch.device | None = None) -> Tensor:
    """The separable filter as a contiguous depthwise weight `[C, 1, 4, 4]` that sums to `gain`, float32 by default.

    It is not an expanded view: PyTorch's convolution on MPS reads weights that are not contiguous wrongly. All its
    numbers are exact in every dtype.
    """
    taps = torch.tensor(TAPS, device=device) / sum(TAPS)
    return (torch.outer(taps, taps) * gain).repeat(channels, 1, 1, 1)


def _weight(x: Tensor, gain: float = 1.0) -> Tensor:
    return fir_weight(x.shape[1], gain, device=x.device, dtype=x.dtype)


class _Blur(torch.autograd.Function):
    """Depthwise filtering. The taps are symmetric, so the gradient is the same filter with the opposite padding."""

    @staticmethod
    def forward(x: Tensor, padding: int) -> Tensor:
        return F.conv2d(x, _weight(x), padding=padding, groups=x.shape[1])

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        ctx.padding = inputs[1]  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return _Blur.apply(grad_outputs[0], len(TAPS) - 1 - ctx.padding), None  # type: ignore[no-untyped-call]


def blur(x: Tensor, padding: int) -> Tensor:
    """Blur `[B, C, H, W]`, with zero padding on every side: `[B, C, H + 2 padding - 3, W + 2 padding - 3]`."""
    if torch.compiler.is_compiling():  # the compiler fuses the plain form, and has trouble with our gradient
        return F.conv2d(x, _weight(x), padding=padding, groups=x.shape[1])
    out: Tensor = _Blur.apply(x, padding)  # type: ignore[no-untyped-call]
    return out


@in_float32
def downsample(x: Tensor) -> Tensor:
    """Filter and keep every second pixel: `[B, C, H, W] -> [B, C, H/2, W/2]`."""
    return F.conv2d(x, _weight(x), stride=2, padding=1, groups=x.shape[1])


@in_float32
def upsample(x: Tensor) -> Tensor:
    """Insert zeros and filter with gain 4, which keeps the brightness: `[B, C, H, W] -> [B, C, 2H, 2W]`."""
    return F.conv_transpose2d(x, _weight(x, gain=4.0), stride=2, padding=1, groups=x.shape[1])

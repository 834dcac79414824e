"""Basic layers of G and D: equalised learning rate, spectral norm, pixel norm and the scaled leaky ReLU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.ops.cpu_tiles import on_gpu_path
from swincli.ops.precision import in_float32
from swincli.ops.scaling import scaled_together

FIRST_RESOLUTION = 4  # side of G's first map
SLOPE = 0.2
GAIN = math.sqrt(2.0)


def scaled_leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2 and gain sqrt(2), which keeps the variance (StyleGAN2)."""
    return F.leaky_relu(x, SLOPE) * GAIN


class PixelNorm(nn.Module):
    """Scale every vector of `[B, C]` to root mean square 1 (Karras et al., 2018)."""

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C] -> [B, C]`."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate: weights ~ N(0, 1) / lr_mul, scaled in forward (Karras et al., 2018).

    Args:
        inputs: Features in.
        outputs: Features out.
        lr_mul: Multiplier of the layer's learning rate.
        bias_init: Initial bias: one number, or `[outputs]`.
        activation: Apply `scaled_leaky_relu` to the result.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        lr_mul: float = 1.0,
        bias_init: float | Tensor = 0.0,
        activation: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs).div_(lr_mul))
        self.bias = nn.Parameter(torch.zeros(outputs).add_(bias_init))
        self.scale = lr_mul / math.sqrt(inputs)
        self.lr_mul = lr_mul
        self.activation = activation

    @in_float32
    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs] -> [..., outputs]`, in float32 under autocast, because rounding w would show."""
        if on_gpu_path(x):
            return self._scaled_input(x)
        out = F.linear(x, self.weight * self.scale, self._scaled_bias())
        return scaled_leaky_relu(out) if self.activation else out

    def _scaled_input(self, x: Tensor) -> Tensor:
        """`forward` with the scale at x and the activation's gain at both scales: fewer and smaller operations."""
        if not self.activation:
            return F.linear(x * self.scale, self.weight, self._scaled_bias())
        out = F.linear(x * (self.scale * GAIN), self.weight, self._scaled_bias(GAIN))
        return F.leaky_relu(out, SLOPE)

    def _scaled_bias(self, gain: float = 1.0) -> Tensor:
        factor = self.lr_mul * gain
        return self.bias if factor == 1.0 else self.bias * factor


@in_float32
def run_equal_layers(x: Tensor, layers: Sequence[EqualLinear]) -> Tensor:
    """Equalised layers one after the other, for GPUs: all weights and biases are scaled in one operation.

    Each layer's activation has its gain in the weight and the bias.
    """
    gains = [GAIN if layer.activation else 1.0 for layer in layers]
    weights = [layer.scale * gain for layer, gain in zip(layers, gains, strict=True)]
    biases = [layer.lr_mul * gain for layer, gain in zip(layers, gains, strict=True)]
    tensors = [layer.weight for layer in layers] + [layer.bias for layer in layers]
    scaled = scaled_together(tensors, [*weights, *biases])
    for layer, weight, bias in zip(layers, scaled[: len(layers)], scaled[len(layers) :], strict=True):
        x = F.linear(x, weight, bias)
        x = F.leaky_relu(x, SLOPE) if layer.activation else x
    return x


class EqualWeight(nn.Module):
    """A weight with equalised learning rate: initialised as N(0, 1), scaled by 1 / sqrt(fan-in) in forward.

    Attributes:
        prepared: What `forward` returns if `Kernels` has computed it for this forward of the discriminator. That of a
            convolution has its activation's gain.
    """

    prepared: Tensor | None = None

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.scale = 1.0 / math.sqrt(math.prod(shape[1:]))

    def forward(self) -> Tensor:
        """The scaled weight."""
        return self.weight * self.scale if self.prepared is None else self.prepared


class SpectralWeight(nn.Module):
    """A weight with spectral norm: divided by its largest singular value (Miyato et al., 2018).

    It has PyTorch's default initialisation. Every forward in training mode does one step of power iteration on the
    vectors u and v; in eval mode they stay as they are.

    Attributes:
        prepared: As in `EqualWeight`.
    """

    prepared: Tensor | None = None

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        rows, columns = shape[0], math.prod(shape[1:])
        self.u: Tensor
        self.v: Tensor
        self.register_buffer("u", F.normalize(torch.randn(rows), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(columns), dim=0))

    @in_float32
    def forward(self) -> Tensor:
        """The normalised weight; its spectral norm is about 1."""
        if self.prepared is not None:
            return self.prepared
        matrix = self.weight.flatten(1)
        u, v = self.u, self.v
        if self.training:
            with torch.no_grad():
                v = F.normalize(matrix.t().mv(u), dim=0, eps=1e-12)
                u = F.normalize(matrix.mv(v), dim=0, eps=1e-12)
                self.u.copy_(u)
                self.v.copy_(v)
        else:
            u, v = u.clone(), v.clone()  # a later training forward would change the buffers before this backward
        return self.weight / torch.dot(u, matrix.mv(v))


def make_weight(*shape: int, spectral: bool) -> EqualWeight | SpectralWeight:
    """A weight of D, with spectral norm or with equalised learning rate."""
    return SpectralWeight(*shape) if spectral else EqualWeight(*shape)


class Linear(nn.Module):
    """Linear layer of D: a weight from `make_weight`, and a bias."""

    def __init__(self, inputs: int, outputs: int, *, spectral: bool) -> None:
        super().__init__()
        self.kernel = make_weight(outputs, inputs, spectral=spectral)
        self.bias = nn.Parameter(torch.zeros(outputs))
        if spectral:
            nn.init.uniform_(self.bias, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, inputs] -> [B, outputs]`."""
        return F.linear(x, self.kernel(), self.bias)


class Conv(nn.Module):
    """Convolution of D: a weight from `make_weight`, a bias, and the scaled leaky ReLU.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        size: Side of the kernel, odd.
        stride: 1 pads to keep the side. 2 does not pad: the blur before it has padded.
        spectral: Use spectral norm instead of equalised learning rate.

    Attributes:
        channels_last: Lay out the used weight channels-last, so that the maps are too. The parameter stays contiguous.
        prepared: Weight and bias with the activation's gain, if `Kernels` has computed them for this forward.
    """

    prepared: tuple[Tensor, Tensor] | None = None

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, spectral: bool) -> None:
        super().__init__()
        self.channels_last = False
        self.kernel = make_weight(outputs, inputs, size, size, spectral=spectral)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride = stride
        self.padding = size // 2 if stride == 1 else 0

    def used(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias with the activation's gain in them if they are prepared, else the weight without it alone."""
        return (self.kernel(), None) if self.prepared is None else self.prepared

    def forward(self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """`[B, inputs, H, W] -> [B, outputs, H', W']`; `weight` and `bias` are the result of `used()`, if known."""
        if weight is None:
            weight, bias = self.used()
        if self.channels_last:
            weight = weight.to(memory_format=torch.channels_last)
        if bias is None:
            return scaled_leaky_relu(F.conv2d(x, weight, self.bias, self.stride, self.padding))
        return F.leaky_relu(F.conv2d(x, weight, bias, self.stride, self.padding), SLOPE)

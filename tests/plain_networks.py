"""Plain twins of the default networks: slow reference code that swincli's networks must agree with.

Every step follows its definition, on whole maps. The twins use the parameters of a real generator or discriminator, so
that gradients go to the same parameters. They use nothing of `swincli.ops`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.recipe.schema import ModelSection

EPS = 1e-5
MAPPING_LR_MUL = 0.01


class PlainGenerator(nn.Module):
    """z `[B, latent_dim]` -> image `[B, 3, size, size]`.

    Args:
        generator: The generator whose parameters are used; built from `config`.
        config: AdaIN, sinusoidal positions and bilinear upsampling; attention of either kind.
    """

    def __init__(self, generator: nn.Module, config: ModelSection) -> None:
        super().__init__()
        self.real, self.config = generator, config

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """`[B, latent_dim] -> [B, 3, size, size]`; labels are not used."""
        w = self.map(z)
        x = self.real.constant.permute(0, 2, 3, 1).expand(len(z), -1, -1, -1)
        image: Tensor | None = None
        for level in self.real.levels:
            doubling = level.upsample is not None
            for number, block in enumerate(level.blocks):
                x = x + self.attend(block.attention, adain(x, equalised(w, block.norm1.style)), number)
                x = x + mlp(block.mlp, adain(x, equalised(w, block.norm2.style)))
            if doubling:
                x = doubled(level.upsample, x)
            colours = to_rgb(level.to_rgb, x)
            if image is not None:
                colours = (fir_upsample(image) if doubling else image) + colours
            image = colours
        assert image is not None
        return image

    def map(self, z: Tensor) -> Tensor:
        """z -> w, both `[B, latent_dim]`."""
        w = z / torch.sqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in list(self.real.mapping)[1:]:
            w = scaled_leaky_relu(equalised(w, layer, MAPPING_LR_MUL))
        return w

    def attend(self, layer: nn.Module, x: Tensor, number: int) -> Tensor:
        """Attention of block `number` at its resolution: `[B, H, W, C] -> [B, H, W, C]`."""
        batch, side, _, channels = x.shape
        heads = self.config.heads_at(side)
        window = self.config.window_at(side)
        half = window // 2 if window < side else 0
        shifts = (0, half) if self.config.attention == "double" else (half if number % 2 else 0,)
        qkv = F.linear(x, layer.qkv.weight, layer.qkv.bias)
        q, k, v = qkv.view(batch, side, side, 3, heads, channels // heads).unbind(dim=3)
        share = heads // len(shifts)
        groups = [
            window_attention(
                *(part[..., group * share : (group + 1) * share, :] for part in (q, k, v)),
                layer.halves[group].position_bias,
                window,
                shift,
            )
            for group, shift in enumerate(shifts)
        ]
        joined = torch.cat(groups, dim=3).reshape(batch, side, side, channels)
        return F.linear(joined, layer.proj.weight, layer.proj.bias)


def equalised(x: Tensor, layer: nn.Module, lr_mul: float = 1.0) -> Tensor:
    """Linear layer with equalised learning rate."""
    scale = lr_mul / math.sqrt(layer.weight.shape[1])
    return F.linear(x, layer.weight * scale, layer.bias * lr_mul)


def scaled_leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2 with gain sqrt(2)."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2.0)


def adain(x: Tensor, style: Tensor) -> Tensor:
    """Normalise every channel over the positions, then scale by gamma and shift by beta: `[B, H, W, C]`."""
    gamma, beta = style[:, None, None].chunk(2, dim=-1)
    mean = x.mean(dim=(1, 2), keepdim=True)
    variance = (x - mean).square().mean(dim=(1, 2), keepdim=True)
    return gamma * ((x - mean) / torch.sqrt(variance + EPS)) + beta


def mlp(layer: nn.Module, x: Tensor) -> Tensor:
    """Two linear layers with a GELU between them."""
    hidden = F.gelu(F.linear(x, layer.expand.weight, layer.expand.bias))
    return F.linear(hidden, layer.contract.weight, layer.contract.bias)


def window_attention(q: Tensor, k: Tensor, v: Tensor, table: Tensor, window: int, shift: int) -> Tensor:
    """Attention in (shifted) windows with a relative position bias table: `[B, H, W, h, d] -> [B, H, W, h, d]`."""
    side, dim = q.shape[1], q.shape[-1]
    if shift:
        q, k, v = (part.roll((-shift, -shift), dims=(1, 2)) for part in (q, k, v))
    q, k, v = (into_windows(part, window) for part in (q, k, v))  # [B, windows, h, window², d]
    logits = q @ k.transpose(-1, -2) / math.sqrt(dim)
    logits = logits + table[relative_positions(window).to(table.device)].permute(2, 0, 1)
    if shift:
        logits = logits + shift_mask(side, window, shift).to(logits)[:, None]
    out = out_of_windows(logits.softmax(dim=-1) @ v, window, side)
    return out.roll((shift, shift), dims=(1, 2)) if shift else out


def into_windows(x: Tensor, window: int) -> Tensor:
    """`[B, H, W, h, d] -> [B, windows, h, window², d]`."""
    batch, side, _, heads, dim = x.shape
    number = side // window
    x = x.reshape(batch, number, window, number, window, heads, dim).transpose(2, 3)
    return x.reshape(batch, number**2, window**2, heads, dim).transpose(2, 3)


def out_of_windows(x: Tensor, window: int, side: int) -> Tensor:
    """`[B, windows, h, window², d] -> [B, H, W, h, d]`."""
    batch, _, heads, _, dim = x.shape
    number = side // window
    x = x.transpose(2, 3).reshape(batch, number, number, window, window, heads, dim).transpose(2, 3)
    return x.reshape(batch, side, side, heads, dim)


def relative_positions(window: int) -> Tensor:
    """Row of the bias table for the query q and the key k of a window: int64 `[window², window²]`."""
    place = torch.arange(window**2)
    down = place[:, None] // window - place[None] // window
    across = place[:, None] % window - place[None] % window
    return (down + window - 1) * (2 * window - 1) + across + window - 1


def shift_mask(side: int, window: int, shift: int) -> Tensor:
    """-inf for positions of a shifted window that come from opposite sides of the image: `[windows, window², window²]`.

    Along each axis the rolled image has three regions: all but the last window, the end of the image in the last
    window, and the start of the image, which has wrapped around.
    """
    part = torch.zeros(side, dtype=torch.int64)
    part[side - window :] = 1
    part[side - shift :] = 2
    region = (3 * part[:, None] + part[None])[None, :, :, None, None]
    regions = into_windows(region, window)[0, :, 0, :, 0]
    apart = regions[:, :, None] != regions[:, None]
    return torch.zeros(apart.shape).masked_fill(apart, float("-inf"))


def doubled(layer: nn.Module, x: Tensor) -> Tensor:
    """Bilinear upsampling, layer norm, a linear layer, and the position encoding: `[B, H, W, C] -> [B, 2H, 2W, C']`."""
    x = F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    x = F.layer_norm(x, x.shape[-1:], layer.norm.weight, layer.norm.bias, EPS)
    x = F.linear(x, layer.reduction.weight)
    return x + layer.position_strength * position_encoding(x.shape[1], x.shape[-1]).to(x)


def position_encoding(side: int, channels: int) -> Tensor:
    """Sinusoidal encoding of the column in the first half of the channels, of the row in the second: `[H, W, C]`."""
    half = channels // 4
    frequency = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10_000) / max(half - 1, 1)))
    angle = torch.arange(1, side + 1, dtype=torch.float32)[:, None] * frequency
    line = torch.cat([angle.sin(), angle.cos()], dim=1)
    columns, rows = line[None].expand(side, -1, -1), line[:, None].expand(-1, side, -1)
    return torch.cat([columns, rows], dim=2)


def to_rgb(layer: nn.Module, x: Tensor) -> Tensor:
    """A 1x1 convolution and a second bias: `[B, H, W, C] -> [B, 3, H, W]`."""
    return F.conv2d(x.permute(0, 3, 1, 2), layer.conv.weight, layer.conv.bias) + layer.bias


def fir(x: Tensor, *, padding: tuple[int, int], gain: float = 1.0, stride: int = 1) -> Tensor:
    """The [1, 3, 3, 1] filter on every channel of `[B, C, H, W]`, with zero padding before and after every line."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device) / 8
    kernel = (gain * taps[:, None] * taps[None]).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (*padding, *padding)), kernel, stride=stride, groups=x.shape[1])


def fir_upsample(x: Tensor) -> Tensor:
    """Insert zeros between the pixels, then filter with gain 4: `[B, C, H, W] -> [B, C, 2H, 2W]`."""
    batch, channels, height, width = x.shape
    spread = x.new_zeros(batch, channels, height, 2, width, 2)
    spread[:, :, :, 0, :, 0] = x
    return fir(spread.view(batch, channels, 2 * height, 2 * width), padding=(2, 1), gain=4.0)


def fir_downsample(x: Tensor) -> Tensor:
    """Filter, then take every second pixel: `[B, C, H, W] -> [B, C, H/2, W/2]`."""
    return fir(x, padding=(1, 1), stride=2)


def haar(x: Tensor) -> Tensor:
    """One level of the orthonormal transform: `[B, C, H, W] -> [B, 4C, H/2, W/2]`, [ll, lh, hl, hh]."""
    a, b = x[:, :, ::2, ::2], x[:, :, ::2, 1::2]
    c, d = x[:, :, 1::2, ::2], x[:, :, 1::2, 1::2]
    return torch.cat([a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d], dim=1) / 2


def inverse_haar(bands: Tensor) -> Tensor:
    """The inverse of `haar`: `[B, 4C, H, W] -> [B, C, 2H, 2W]`."""
    ll, lh, hl, hh = bands.chunk(4, dim=1)
    top = torch.stack([ll + lh + hl + hh, ll + lh - hl - hh], dim=-1)
    bottom = torch.stack([ll - lh + hl - hh, ll - lh - hl + hh], dim=-1)
    both = torch.stack([top, bottom], dim=3) / 2  # [B, C, H, 2, W, 2]
    batch, channels, height, _, width, _ = both.shape
    return both.reshape(batch, channels, 2 * height, 2 * width)


class PlainDiscriminator(nn.Module):
    """Image `[B, 3, size, size]` -> logit `[B, 1]`, computed as in the original release at every scale.

    Args:
        discriminator: The discriminator whose parameters and spectral norm vectors are used; built from `config`.
        config: The wavelet discriminator with Haar, unconditional.
    """

    def __init__(self, discriminator: nn.Module, config: ModelSection) -> None:
        super().__init__()
        self.real, self.config = discriminator, config

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """`[B, 3, size, size] -> [B, 1]`; labels are not used."""
        real = self.real
        bands = haar(image)
        x = self.convolve(real.from_wavelet[0], bands)
        for block, from_wavelet in zip(real.trunk, real.from_wavelet[1:], strict=True):
            x = self.convolve(block.conv1, x)
            x = self.convolve(block.conv2, fir(x, padding=(2, 2)), stride=2)
            bands = haar(fir_downsample(inverse_haar(bands)))
            x = x + self.convolve(from_wavelet, bands)
        x = self.convolve(real.final_conv, append_deviation(x, self.config.std_group)).flatten(1)
        x = F.linear(x, self.weight(real.hidden.kernel), real.hidden.bias)
        if real.hidden_bias is not None:
            x = x + real.hidden_bias
        return F.linear(scaled_leaky_relu(x), self.weight(real.logit.kernel), real.logit.bias)

    def convolve(self, layer: nn.Module, x: Tensor, stride: int = 1) -> Tensor:
        """A convolution with bias and leaky ReLU; stride 1 pads to keep the side."""
        weight = self.weight(layer.kernel)
        padding = weight.shape[-1] // 2 if stride == 1 else 0
        return scaled_leaky_relu(F.conv2d(x, weight, layer.bias, stride, padding))

    def weight(self, kernel: nn.Module) -> Tensor:
        """The effective weight: divided by its largest singular value, or scaled by its fan-in."""
        weight = kernel.weight
        if not self.config.spectral_norm:
            return weight / math.sqrt(weight[0].numel())
        matrix = weight.flatten(1)
        if self.training:  # one step of power iteration
            with torch.no_grad():
                kernel.v.copy_(F.normalize(matrix.t() @ kernel.u, dim=0, eps=1e-12))
                kernel.u.copy_(F.normalize(matrix @ kernel.v, dim=0, eps=1e-12))
        return weight / (kernel.u.clone() @ (matrix @ kernel.v.clone()))


def append_deviation(x: Tensor, largest: int) -> Tensor:
    """Append the mean standard deviation over groups of images that are `B / g` apart: `[B, C + 1, H, W]`."""
    batch, _, height, width = x.shape
    group = max(size for size in range(1, min(largest, batch) + 1) if batch % size == 0)
    apart = batch // group
    features = []
    for first in range(apart):
        members = x[first::apart]
        mean = members.mean(dim=0)
        variance = (members - mean).square().mean(dim=0)
        features.append(torch.sqrt(variance + 1e-8).mean())
    columns = torch.stack([features[index % apart] for index in range(batch)])
    return torch.cat([x, columns[:, None, None, None].expand(-1, 1, height, width)], dim=1)

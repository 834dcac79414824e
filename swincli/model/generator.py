"""StyleSwin's generator (Zhang et al., CVPR 2022): a mapping network and a style-modulated pyramid of Swin blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.attention import DoubleAttention
from swincli.model.layers import EqualLinear, PixelNorm
from swincli.model.position import add_position
from swincli.model.style import AdaptiveInstanceNorm
from swincli.ops import fir
from swincli.recipe.schema import ModelSection

FIRST_RESOLUTION = 4
MAPPING_LR_MUL = 0.01


class Mlp(nn.Module):
    """Two linear layers with a GELU between, position by position."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, channels * ratio)
        self.contract = nn.Linear(channels * ratio, channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., C] -> [..., C]`."""
        out: Tensor = self.contract(F.gelu(self.expand(x)))
        return out


class Block(nn.Module):
    """Style-modulated double attention, then a style-modulated MLP, each added to what came in."""

    def __init__(self, config: ModelSection, resolution: int, channels: int) -> None:
        super().__init__()
        side = FIRST_RESOLUTION if resolution == FIRST_RESOLUTION else min(config.window, resolution)
        self.norm1 = AdaptiveInstanceNorm(channels, config.latent_dim, config.adain_gamma)
        self.attention = DoubleAttention(channels, config.heads(channels), side, resolution)
        self.norm2 = AdaptiveInstanceNorm(channels, config.latent_dim, config.adain_gamma)
        self.mlp = Mlp(channels, config.mlp_ratio)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`."""
        x = x + self.attention(self.norm1(x, w))
        out: Tensor = x + self.mlp(self.norm2(x, w))
        return out


class Upsample(nn.Module):
    """Bilinear doubling, LayerNorm, a linear change of width, and the position encoding with a learned strength."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inputs)
        self.reduction = nn.Linear(inputs, outputs, bias=False)
        self.position_strength = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, 2H, 2W, C']`."""
        x = F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2, mode="bilinear", align_corners=False)
        return add_position(self.reduction(self.norm(x.permute(0, 2, 3, 1))), self.position_strength)


class ToRGB(nn.Module):
    """A 1x1 convolution from features to colours; the release has two biases, and so has this."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 3, 1)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, 3, H, W]`."""
        rgb = F.linear(x, self.conv.weight.flatten(1), self.conv.bias)
        return rgb.permute(0, 3, 1, 2) + self.bias


class Level(nn.Module):
    """All that happens at one resolution: two blocks, the doubling to the next (but at the last), and tRGB after it."""

    def __init__(self, config: ModelSection, resolution: int) -> None:
        super().__init__()
        channels = config.channels("g")
        width = channels[resolution]
        self.blocks = nn.ModuleList(Block(config, resolution, width) for _ in range(2))
        following = channels.get(2 * resolution)
        self.upsample = Upsample(width, following) if following else None
        self.to_rgb = ToRGB(following or width)

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """`[B, H, W, C], [B, 2, latent_dim] -> [B, H', W', C']`, H' = 2H but at the last level."""
        for index, block in enumerate(self.blocks):
            x = block(x, codes[:, index])
        return self.upsample(x) if self.upsample else x


class Generator(nn.Module):
    """z -> w -> image. `forward` does both; `map`, `broadcast` and `synthesise` are its steps.

    Args:
        config: The recipe's [model] section.
    """

    def __init__(self, config: ModelSection) -> None:
        super().__init__()
        self.latent_dim, self.num_ws, self.resolution = config.latent_dim, config.num_ws, config.size
        layers = (
            EqualLinear(config.latent_dim, config.latent_dim, lr_mul=MAPPING_LR_MUL, activation=True)
            for _ in range(config.mapping_layers)
        )
        self.mapping = nn.Sequential(PixelNorm(), *layers)
        width = config.channels("g")[FIRST_RESOLUTION]
        self.constant = nn.Parameter(torch.randn(1, width, FIRST_RESOLUTION, FIRST_RESOLUTION))
        self.levels = nn.ModuleList(Level(config, resolution) for resolution in config.resolutions)
        self.apply(_initialise)

    def map(self, z: Tensor) -> Tensor:
        """z `[B, latent_dim]` ~ N(0, 1) -> w `[B, latent_dim]`."""
        w: Tensor = self.mapping(z)
        return w

    def broadcast(self, w: Tensor) -> Tensor:
        """One code for the whole image, w `[B, latent_dim]`, as w+ `[B, num_ws, latent_dim]`."""
        return w[:, None].expand(-1, self.num_ws, -1)

    def synthesise(self, w_plus: Tensor) -> Tensor:
        """w+ `[B, num_ws, latent_dim]` -> image `[B, 3, size, size]` in the network's pixel range, not clipped."""
        x = self.constant.permute(0, 2, 3, 1).expand(len(w_plus), -1, -1, -1)
        image: Tensor | None = None
        for index, level in enumerate(self.levels):
            assert isinstance(level, Level)
            x = level(x, w_plus[:, 2 * index : 2 * index + 2])
            rgb = level.to_rgb(x)
            image = rgb if image is None else (fir.upsample(image) if level.upsample else image) + rgb
        assert image is not None
        return image

    def forward(self, z: Tensor) -> Tensor:
        """z `[B, latent_dim]` -> image `[B, 3, size, size]`."""
        return self.synthesise(self.broadcast(self.map(z)))


def _initialise(module: nn.Module) -> None:
    """The release's start: linear weights truncated normal with std 0.02 and no bias, tRGB Xavier normal, gain 0.02."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        nn.init.xavier_normal_(module.weight, gain=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

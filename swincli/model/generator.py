"""StyleSwin's generator (Zhang et al., CVPR 2022): a mapping network and a style-modulated pyramid of Swin blocks."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.adaptive_norm import AdaptiveBatchNorm
from swincli.model.blocks.attention import GroupedAttention
from swincli.model.blocks.conditioning import embed, make_embedding
from swincli.model.blocks.layers import EqualLinear, PixelNorm
from swincli.model.blocks.position import POSITIONS
from swincli.model.blocks.style import STYLES
from swincli.ops import cpu_tiles, fir
from swincli.ops.checkpointing import checkpointed, is_due, without_keeping
from swincli.ops.precision import in_float32
from swincli.recipe.schema import ModelSection

FIRST_RESOLUTION = 4
MAPPING_LR_MUL = 0.01


UPSAMPLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "bilinear": functools.partial(F.interpolate, scale_factor=2, mode="bilinear", align_corners=False),
    "nearest": functools.partial(F.interpolate, scale_factor=2, mode="nearest"),
}
"""How features `[B, C, H, W]` are doubled."""


class Block(nn.Module):
    """Attention, then an MLP, each normalised before and added to what came in; style enters as `STYLES` says."""

    def __init__(self, config: ModelSection, resolution: int, channels: int, index: int) -> None:
        super().__init__()
        style = STYLES[config.style]
        self.norm1 = style.norm(config, channels)
        self.attention = GroupedAttention(
            channels,
            config.heads(channels),
            side=FIRST_RESOLUTION if resolution == FIRST_RESOLUTION else min(config.window, resolution),
            resolution=resolution,
            kind=config.attention,
            block=index,
            relative_bias=config.relative_bias,
        )
        self.cross = style.cross(config, channels) if style.cross else None
        self.norm2 = style.norm(config, channels)
        self.mlp = style.mlp(config, channels)
        self.hidden = config.mlp_ratio * channels
        self.by_image = not isinstance(self.norm1, AdaptiveBatchNorm)  # which looks at all images in training

    def forward(self, x: Tensor, w: Tensor, *, remake: bool = True) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`.

        With `remake` normalised maps are not kept for the backward pass; within `checkpointed` nothing is.
        """
        if cpu_tiles.is_due_without_graph(x) and (self.by_image or not self.training):
            return self._in_parts(x, w)
        x = x + self._after(self.norm1, x, w, self.attention, remake=remake)
        if self.cross is not None:
            x = x + self.cross(x, w)
        return x + self._after(self.norm2, x, w, lambda normal: self.mlp(normal, w), remake=remake)

    def _after(self, norm: nn.Module, x: Tensor, w: Tensor, use: Callable[[Tensor], Tensor], *, remake: bool) -> Tensor:
        """What is done with x once it is normalised; the backward pass makes the normalised map again."""
        normal: Tensor = norm(x, w)
        if not (remake and self.by_image):
            return use(normal)
        with without_keeping(normal, lambda: norm(x, w)):
            return use(normal)

    def _in_parts(self, x: Tensor, w: Tensor) -> Tensor:
        """The same without a graph, part by part."""
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        self.attention.add_in_parts(x, self.norm1.of(x, w), out)  # type: ignore[operator]
        if self.cross is not None:
            out += self.cross(out, w)
        normalise = self.norm2.of(out, w)  # type: ignore[operator]
        for part in cpu_tiles.parts(out, self.hidden):
            values = part.of(out)
            values += self.mlp(normalise(values, part.images), w[part.images])
        return out


class Upsample(nn.Module):
    """Doubling, LayerNorm, a linear change of width, and a position encoding with a learned strength that starts at 0.

    Args:
        config: The recipe's [model] section.
        resolution: Side of the doubled map.
        inputs: Channels in.
        outputs: Channels out.
    """

    def __init__(self, config: ModelSection, resolution: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.enlarge = UPSAMPLINGS[config.upsampling]
        self.norm = nn.LayerNorm(inputs)
        self.reduction = nn.Linear(inputs, outputs, bias=False)
        encoding = POSITIONS[config.position]
        self.position_strength = nn.Parameter(torch.zeros(1)) if encoding else None
        self.position = encoding(resolution, outputs) if encoding else None

    def forward(self, x: Tensor, *, remake: bool = True) -> Tensor:
        """`[B, H, W, C] -> [B, 2H, 2W, C']`; `remake` as in `Block`."""
        x = self._in_parts(x) if cpu_tiles.is_due_without_graph(x) else self._doubled(x, remake=remake)
        return x if self.position is None else self.position(x, self.position_strength)

    def _doubled(self, x: Tensor, *, remake: bool = True) -> Tensor:
        """Without the position; with `remake` neither the large map nor the normalised one are kept."""

        def enlarged() -> Tensor:
            return self.enlarge(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

        large = enlarged()
        with without_keeping(large, enlarged) if remake else contextlib.nullcontext():
            normal = self.norm(large)
        with without_keeping(normal, lambda: self.norm(enlarged())) if remake else contextlib.nullcontext():
            out: Tensor = self.reduction(normal)
        return out

    def _in_parts(self, x: Tensor) -> Tensor:
        """The same without a graph, part by part; each knows the rows beside it, which its border is blended with."""
        batch, height, width, channels = x.shape
        out = x.new_empty(batch, 2 * height, 2 * width, self.reduction.out_features)
        for part in cpu_tiles.parts(x, 4 * channels):
            top, bottom = max(0, part.rows.start - 1), min(height, part.rows.stop + 1)
            doubled = self._doubled(x[part.images, top:bottom])
            skipped, rows = 2 * (part.rows.start - top), 2 * (part.rows.stop - part.rows.start)
            out[part.images, 2 * part.rows.start : 2 * part.rows.stop] = doubled[:, skipped : skipped + rows]
        return out


class ToRGB(nn.Module):
    """A 1x1 convolution from features to colours; the release has two biases, and so has this."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 3, 1)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    @in_float32
    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, 3, H, W]`, in float32 under autocast: rounded colours would show."""
        rgb = F.linear(x, self.conv.weight.flatten(1), self.conv.bias)
        return rgb.permute(0, 3, 1, 2) + self.bias


class Level(nn.Module):
    """All that happens at one resolution: two blocks, the doubling to the next (but at the last), and tRGB after it."""

    def __init__(self, config: ModelSection, resolution: int) -> None:
        super().__init__()
        channels = config.channels("g")
        width = channels[resolution]
        self.blocks = nn.ModuleList(Block(config, resolution, width, index) for index in range(2))
        following = channels.get(2 * resolution)
        self.upsample = Upsample(config, 2 * resolution, width, following) if following else None
        self.to_rgb = ToRGB(following or width)

    def forward(self, x: Tensor, codes: Tensor, *, recompute: bool = False) -> Tensor:
        """`[B, H, W, C], [B, 2, latent_dim] -> [B, H', W', C']`, H' = 2H but at the last level.

        With `recompute` only what goes from one part to the next is kept for the backward pass.
        """
        for index, block in enumerate(self.blocks):
            x = _run(block, x, codes[:, index], recompute=recompute)
        return _run(self.upsample, x, recompute=recompute) if self.upsample else x


def _run(module: nn.Module, *tensors: Tensor, recompute: bool) -> Tensor:
    if recompute:
        return checkpointed(functools.partial(module, remake=False), *tensors)
    out: Tensor = module(*tensors)
    return out


class Generator(nn.Module):
    """z -> w -> image. `forward` does both; `map`, `broadcast` and `synthesise` are its steps.

    Args:
        config: The recipe's [model] section.

    Attributes:
        recompute_from: Side of the maps from which on activations are computed again in the backward pass.
    """

    def __init__(self, config: ModelSection) -> None:
        super().__init__()
        self.latent_dim, self.num_ws, self.resolution = config.latent_dim, config.num_ws, config.size
        self.recompute_from: int | None = None
        widths = [config.latent_dim] * config.mapping_layers
        widths[0] *= 2 if config.classes else 1  # z and the class's vector, side by side
        layers = (EqualLinear(width, config.latent_dim, lr_mul=MAPPING_LR_MUL, activation=True) for width in widths)
        self.mapping = nn.Sequential(PixelNorm(), *layers)
        self.embedding = make_embedding(config.classes, config.latent_dim)
        width = config.channels("g")[FIRST_RESOLUTION]
        self.constant = nn.Parameter(torch.randn(1, width, FIRST_RESOLUTION, FIRST_RESOLUTION))
        start = STYLES[config.style].start
        self.start = start(config, width) if start else None
        self.levels = nn.ModuleList(Level(config, resolution) for resolution in config.resolutions)
        self.apply(_initialise)

    def map(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z `[B, latent_dim]` ~ N(0, 1) -> w `[B, latent_dim]`.

        A conditional generator takes the labels as well, int64 `[B]`.
        """
        vectors = embed(self.embedding, labels)
        normalise, *layers = self.mapping
        w: Tensor = normalise(z) if vectors is None else torch.cat([normalise(z), vectors], dim=1)
        for layer in layers:
            w = layer(w)
        return w

    def broadcast(self, w: Tensor) -> Tensor:
        """One code for the whole image, w `[B, latent_dim]`, as w+ `[B, num_ws, latent_dim]`."""
        return w[:, None].expand(-1, self.num_ws, -1)

    def synthesise(self, w_plus: Tensor) -> Tensor:
        """w+ `[B, num_ws, latent_dim]` -> image `[B, 3, size, size]` in the network's pixel range, not clipped."""
        x = self.constant.permute(0, 2, 3, 1).expand(len(w_plus), -1, -1, -1)
        if self.start is not None:
            x = x + self.start(w_plus[:, 0])
        image: Tensor | None = None
        for index, level in enumerate(self.levels):
            assert isinstance(level, Level)
            codes = w_plus[:, 2 * index : 2 * index + 2]
            x = level(x, codes, recompute=is_due(x, self.recompute_from))
            rgb = level.to_rgb(x)
            image = rgb if image is None else (fir.upsample(image) if level.upsample else image) + rgb
        assert image is not None
        return image

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z `[B, latent_dim]`, and int64 labels `[B]` where it is conditional -> image `[B, 3, size, size]`."""
        return self.synthesise(self.broadcast(self.map(z, labels)))


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

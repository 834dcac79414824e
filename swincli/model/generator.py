"""StyleSwin's generator (Zhang et al., CVPR 2022): a mapping network and a pyramid of style-modulated Swin blocks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.adaptive_norm import (
    AdaptiveInstanceNorm,
    Styles,
    normalise_with_remake,
    styles_of,
)
from swincli.model.blocks.attention import GroupedAttention, biases_together
from swincli.model.blocks.conditioning import Through, embed, make_embedding
from swincli.model.blocks.layers import FIRST_RESOLUTION, EqualLinear, PixelNorm, run_equal_layers
from swincli.model.blocks.mlp import Mlp
from swincli.model.blocks.style import STYLES
from swincli.model.blocks.upsample import Upsample
from swincli.model.mixers.registry import mixer_at
from swincli.ops import cpu_tiles, fir
from swincli.ops.checkpointing import checkpointed, recompute_saved, use_checkpointing
from swincli.ops.precision import as_autocast, in_float32
from swincli.recipe.schema import ModelSection

MAPPING_LR_MUL = 0.01


class Block(nn.Module):
    """A Swin block: norm, token mixer, norm, MLP, with two residual connections. `STYLES` says where w enters.

    The mixer, window attention by default, is a row of `MIXERS`; its parameters are named `attention.*` in state dicts.

    Args:
        config: The recipe's [model] section.
        resolution: Side of the map.
        channels: Channels in and out.
        index: Index of the block at its resolution.
    """

    def __init__(self, config: ModelSection, resolution: int, channels: int, index: int) -> None:
        super().__init__()
        style = STYLES[config.style]
        mixer = mixer_at(config, resolution)
        self.norm1 = style.norm(config, resolution)
        self.attention = mixer.build(config, resolution, channels, index)
        self.mixer_takes_w = mixer.takes_w
        self.cross = style.cross(config, resolution) if style.cross else None
        self.norm2 = style.norm(config, resolution)
        self.mlp = style.mlp(config, resolution)
        self.hidden = config.hidden_at(resolution)
        self.whole_batch = style.whole_batch

    def forward(
        self,
        x: Tensor,
        w: Tensor,
        styles: Styles | None = None,
        bias: Tensor | None = None,
        *,
        recompute_norm: bool = True,
    ) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`.

        `styles` is the result of the style layers of both norms if it is known: see `style_layers`. `bias` is that of
        the attention if it is known: see `biases_together`.

        With `recompute_norm`, the backward pass recomputes large normalised maps. Inside `checkpointed` it is off:
        nothing is saved there.
        """
        if cpu_tiles.use_tiles_without_grad(x) and not (self.whole_batch and self.training):
            return self._forward_tiled(x, w)
        first, second = (None, None) if styles is None else styles
        mix = functools.partial(self._mix, w=w, bias=bias)
        x = x + self._normalise_then(mix, self.norm1, (x, w), first, recompute=recompute_norm)
        if self.cross is not None:
            x = x + self.cross(x, w)

        def mlp(normal: Tensor) -> Tensor:
            out: Tensor = self.mlp(normal, w)
            return out

        return x + self._normalise_then(mlp, self.norm2, (x, w), second, recompute=recompute_norm)

    def _mix(self, normal: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
        given = [w] if self.mixer_takes_w else [] if bias is None else [bias]
        out: Tensor = self.attention(normal, *given)
        return out

    def style_layers(self) -> list[EqualLinear]:
        """The style layers of both norms if both are AdaIN, whose styles `forward` takes; else none."""
        norms = [norm for norm in (self.norm1, self.norm2) if isinstance(norm, AdaptiveInstanceNorm)]
        return [norm.style for norm in norms]

    def _normalise_then(
        self,
        branch: Callable[[Tensor], Tensor],
        norm: nn.Module,
        given: tuple[Tensor, Tensor],
        style: tuple[Tensor, Tensor] | None,
        *,
        recompute: bool,
    ) -> Tensor:
        """`branch(norm(x, w))` of x and w; with `recompute`, the normalised map is recomputed in the backward pass."""
        if self.whole_batch or not recompute or not cpu_tiles.save_less(given[0]):
            return branch(norm(*given) if style is None else norm(*given, style))
        normal, remake = normalise_with_remake(norm, *given, style)
        if norm is self.norm1 or isinstance(self.mlp, Mlp):  # they start with a product, which saves its input
            (normal,) = as_autocast(normal)
        dtype = normal.dtype
        with recompute_saved(normal, lambda: remake().to(dtype)):
            return branch(normal)

    def _forward_tiled(self, x: Tensor, w: Tensor) -> Tensor:
        """`forward` tile by tile, without autograd."""
        out = self._mix_tiled(x, w)
        if self.cross is not None:
            out += self.cross(out, w)
        normalise = self.norm2.for_tiles(out, w)  # type: ignore[operator]
        for tile in cpu_tiles.tiles(out, self.hidden):
            values = tile.read(out)
            values += self.mlp(normalise(values, tile.images), w[tile.images])
        return out

    def _mix_tiled(self, x: Tensor, w: Tensor) -> Tensor:
        """x and what the mixer adds to it, tile by tile if the mixer can, without autograd."""
        if not hasattr(self.attention, "add_tiled"):
            return self._mix(self.norm1(x, w), w).add_(x)
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        given = (w,) if self.mixer_takes_w else ()
        self.attention.add_tiled(x, self.norm1.for_tiles(x, w), out, *given)  # type: ignore[operator]
        return out


class ToRGB(nn.Module):
    """tRGB: a 1x1 convolution from features to RGB, and a second bias, as in the original release."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 3, 1)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    @in_float32
    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C] -> [B, 3, H, W]`, in float32 under autocast, because rounded colours would show."""
        weight, bias = self.conv.weight.flatten(1), self.conv.bias
        if bias is not None and cpu_tiles.on_gpu_path(x):  # one pass over the image less
            return F.linear(x, weight, self.bias.flatten() + bias).permute(0, 3, 1, 2)
        return F.linear(x, weight, bias).permute(0, 3, 1, 2) + self.bias


class Level(nn.Module):
    """One resolution: two blocks, upsampling to the next resolution (except at the last one), and tRGB."""

    def __init__(self, config: ModelSection, resolution: int) -> None:
        super().__init__()
        channels = config.channels("g")
        width = channels[resolution]
        self.blocks = nn.ModuleList(Block(config, resolution, width, index) for index in range(2))
        next_width = channels.get(2 * resolution)
        self.upsample = Upsample(config, 2 * resolution, width, next_width) if next_width else None
        self.to_rgb = ToRGB(next_width or width)

    def forward(
        self,
        x: Tensor,
        codes: Sequence[Tensor],
        known: Sequence[tuple[Any, ...]] = ((), ()),
        *,
        recompute: bool = False,
    ) -> Tensor:
        """`[B, H, W, C], 2 of [B, latent_dim] -> [B, H', W', C']`; H' = 2H, or H at the last level.

        `known` is what each block takes after x and w. With `recompute`, the two blocks and the upsampling are
        checkpointed: only their inputs are saved for backward.
        """
        for block, w, given in zip(self.blocks, codes, known, strict=True):
            x = _run(block, x, w, *given, recompute=recompute)
        return _run(self.upsample, x, recompute=recompute) if self.upsample else x


def _run(module: nn.Module, *given: Any, recompute: bool) -> Tensor:
    if recompute:
        return checkpointed(functools.partial(module, recompute_norm=False), *given)
    out: Tensor = module(*given)
    return out


class Partial(NamedTuple):
    """The synthesis of a batch up to a level.

    Attributes:
        done: Number of levels that are done.
        x: Features after them, `[B, H, W, C]`, the input of the next level.
        image: The running image: the sum of tRGB so far, `[B, 3, side, side]`; None before the first level.
    """

    done: int
    x: Tensor
    image: Tensor | None


class Generator(nn.Module):
    """z -> w -> image. `forward` consists of `map`, `broadcast` and `synthesise`.

    Args:
        config: The recipe's [model] section.

    Attributes:
        recompute_from: Smallest side of the maps whose activations are recomputed in the backward pass; None for none.
    """

    def __init__(self, config: ModelSection) -> None:
        super().__init__()
        self.latent_dim, self.num_ws, self.resolution = config.latent_dim, config.num_ws, config.size
        self.recompute_from: int | None = None
        widths = [config.latent_dim] * config.mapping_layers
        widths[0] *= 2 if config.classes else 1  # z and the label's vector, concatenated
        layers = (EqualLinear(width, config.latent_dim, lr_mul=MAPPING_LR_MUL, activation=True) for width in widths)
        self.mapping = nn.Sequential(PixelNorm(), *layers)
        self.embedding = make_embedding(config.classes, config.latent_dim)
        width = config.channels("g")[FIRST_RESOLUTION]
        self.constant = nn.Parameter(torch.randn(1, width, FIRST_RESOLUTION, FIRST_RESOLUTION))
        start = STYLES[config.style].start
        self.start = start(config, FIRST_RESOLUTION) if start else None
        self.levels = nn.ModuleList(Level(config, resolution) for resolution in config.resolutions)
        self.apply(_initialise)

    def map(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z `[B, latent_dim]` ~ N(0, 1) -> w `[B, latent_dim]`.

        A conditional generator also needs the labels, int64 `[B]`.
        """
        vectors = embed(self.embedding, labels)
        normalise, *layers = self.mapping
        w: Tensor = normalise(z) if vectors is None else torch.cat([normalise(z), vectors], dim=1)
        if cpu_tiles.on_gpu_path(w) and not torch.compiler.is_compiling():
            return run_equal_layers(w, layers)  # type: ignore[arg-type]
        for layer in layers:
            w = layer(w)
        return w

    def broadcast(self, w: Tensor) -> Tensor:
        """Repeat w for every block: w `[B, latent_dim]` -> w+ `[B, num_ws, latent_dim]`."""
        return w[:, None].expand(-1, self.num_ws, -1)

    def synthesise(self, w_plus: Tensor) -> Tensor:
        """w+ `[B, num_ws, latent_dim]` -> image `[B, 3, size, size]` in the network's pixel range, not clipped."""
        image = self.synthesise_from(self.begin(w_plus), w_plus).image
        assert image is not None
        return image

    def begin(self, w_plus: Tensor) -> Partial:
        """The synthesis of w+ before its first level: the learned constant, `[B, 4, 4, C]`."""
        x = self.constant.permute(0, 2, 3, 1).expand(w_plus.shape[0], -1, -1, -1)
        if cpu_tiles.on_gpu_path(x):
            x = x.contiguous()  # else each linear layer of the level copies its input
        return Partial(0, x if self.start is None else x + self.start(w_plus[:, 0]), None)

    def synthesise_from(self, partial: Partial, w_plus: Tensor, until: int | None = None) -> Partial:
        """Go on with a synthesis until `until` levels are done; by default to the end.

        `partial` stays as it is, so several syntheses can go on from it. They are the same to the bit as from the
        beginning if the first `2 * partial.done` codes of w+ are the same, in a batch of the same size. (Rows do not
        depend on their company. But the size of the batch and the place in it decide how matrix products round.)

        Args:
            partial: From `begin` or from this function.
            w_plus: `[B, num_ws, latent_dim]`.
            until: Number of levels that are done in the result, at least `partial.done`.
        """
        _, x, image = partial
        codes, end = w_plus.unbind(1), len(self.levels) if until is None else until
        known = self._known_to_blocks(w_plus)
        levels: list[Level] = list(self.levels)  # type: ignore[arg-type]
        for index in range(partial.done, end):
            level = levels[index]
            here = slice(2 * index, 2 * index + 2)
            x = level(x, codes[here], known[here], recompute=use_checkpointing(x, self.recompute_from))
            rgb = level.to_rgb(x)
            image = rgb if image is None else (fir.upsample(image) if level.upsample else image) + rgb
        return Partial(end, x, image)

    def preview(self, partial: Partial) -> Tensor:
        """The running image of a partial synthesis, upsampled by the FIR filter: `[B, 3, size, size]`.

        It is what these levels add to the whole image: the rest is the sum of the later tRGB layers.
        """
        assert partial.image is not None
        image = partial.image
        while image.shape[-1] < self.resolution:
            image = fir.upsample(image)
        return image

    def _known_to_blocks(self, w_plus: Tensor) -> list[tuple[Any, ...]]:
        """What each block takes after x and w: on a GPU its styles and the bias of its attention, else nothing."""
        blocks: list[Block] = [block for level in self.levels for block in level.blocks]  # type: ignore[union-attr]
        if not cpu_tiles.on_gpu_path(w_plus):
            return [()] * len(blocks)
        layers = [block.style_layers() for block in blocks]
        styles = styles_of(w_plus.transpose(0, 1), layers) if all(layers) else [None] * len(blocks)
        return list(zip(styles, self._biases(blocks), strict=True))

    def _biases(self, blocks: Sequence[Block]) -> list[Tensor | None]:
        """The bias of each block that has windows, all made together, for GPUs; None for others."""
        windows = {
            i: block.attention for i, block in enumerate(blocks) if isinstance(block.attention, GroupedAttention)
        }
        if self.constant.device.type == "mps":  # there, attention makes its own: the gradient may lack an operation
            windows = {}
        known = dict(zip(windows, biases_together(list(windows.values())), strict=True))
        return [known.get(index) for index in range(len(blocks))]

    def forward(self, z: Tensor, labels: Tensor | None = None, through: Through | None = None) -> Any:
        """z `[B, latent_dim]`, and int64 labels `[B]` if conditional -> image `[B, 3, size, size]`.

        With `through`, the result is that of `through(self, z, labels)`; see `Through`.
        """
        return (through or _images)(self, z, labels)


def _images(generator: Generator, z: Tensor, labels: Tensor | None) -> Tensor:
    return generator.synthesise(generator.broadcast(generator.map(z, labels)))


def _initialise(module: nn.Module) -> None:
    """The release's initialisation: linear weights truncated normal with std 0.02, tRGB Xavier normal, biases 0."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        nn.init.xavier_normal_(module.weight, gain=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

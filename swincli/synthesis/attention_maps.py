"""Attention maps of single positions, recorded in the generator's forward pass."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.blocks.attention import GroupedAttention
from swincli.model.generator import Block, Generator, Level
from swincli.model.mixers.registry import has_windows
from swincli.recipe.schema import ModelSection

BLOCKS = 2  # per resolution
DEFAULT_LAYERS = 2  # number of layers by default


@dataclass(frozen=True)
class Layer:
    """One block of the generator: the side of its feature map in pixels, and its number at that side, from 1."""

    resolution: int
    block: int


@dataclass(frozen=True)
class AttentionMap:
    """Attention weights of one query position, averaged over one group of heads.

    Attributes:
        layer: The block.
        heads: First and last head of the group, from 1.
        side: Side of a window, in positions of the feature map.
        shift: Shift of the windows, in positions.
        row: Row of the query position.
        column: Column of the query position.
        weights: Mean over the group's heads, float32 `[resolution, resolution]` on the CPU; sums to 1.
    """

    layer: Layer
    heads: tuple[int, int]
    side: int
    shift: int
    row: int
    column: int
    weights: Tensor

    @property
    def window(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the query's window, in positions; clipped at the border of the map."""
        left, right = _span(self.column, self.side, self.shift, self.layer.resolution)
        top, bottom = _span(self.row, self.side, self.shift, self.layer.resolution)
        return left, top, right, bottom


def _span(position: int, side: int, shift: int, length: int) -> tuple[int, int]:
    start = (position - shift) // side * side + shift
    return max(start, 0), min(start + side, length)


def default_layers(config: ModelSection) -> list[Layer]:
    """Last block of each of the two smallest resolutions above the window size; without any, the last block of all."""
    shown = [resolution for resolution in config.resolutions if has_windows(config, resolution)]
    windowed = [resolution for resolution in shown if resolution > config.window_at(resolution)]
    return [Layer(resolution, BLOCKS) for resolution in windowed[:DEFAULT_LAYERS] or shown[-1:]]


def parse_layers(text: str, config: ModelSection) -> list[Layer]:
    """Parse a list of layers: "16,32" means the last blocks at 16 and 32 px, "16.1" the first block at 16 px.

    Raises:
        UsageError: the text is not a list of layers, or the model has no such layer.
    """
    layers = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:\.(\d))?\s*", part)
        if match is None:
            raise UsageError(
                f"--attention-layers {text}: {part.strip()!r} is not a layer",
                "Give sides of feature maps, such as 16,32, or 16.1 for the first block at 16 px.",
            )
        layer = Layer(int(match[1]), int(match[2] or BLOCKS))
        if layer.resolution not in config.resolutions or not 1 <= layer.block <= BLOCKS:
            sides = ", ".join(map(str, config.resolutions))
            raise UsageError(
                f"--attention-layers {text}: the model has no layer {part.strip()}",
                f"It has blocks 1 and 2 at {sides} px.",
            )
        if not has_windows(config, layer.resolution):
            raise UsageError(
                f"--attention-layers {text}: no window attention at {layer.resolution} px",
                f'The model\'s mixer there is "{config.mixer_at(layer.resolution)}".',
            )
        layers.append(layer)
    return layers


def parse_point(text: str, size: int) -> tuple[int, int]:
    """Parse a pixel position: "40,25" is 40 px from the left and 25 px from the top.

    Raises:
        UsageError: the text is not a point, or the point is outside the image.
    """
    match = re.fullmatch(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*", text)
    if match is None:
        hint = "Give pixels from the left and from the top, such as 40,25."
        raise UsageError(f"--attention-at {text}: not a point", hint)
    point = int(match[1]), int(match[2])
    if max(point) >= size:
        raise UsageError(
            f"--attention-at {text}: outside the image of {size} x {size} px",
            f"Both numbers must be from 0 to {size - 1}.",
        )
    return point


@torch.inference_mode()
def record_attention(
    generator: Generator, w_plus: Tensor, layers: Sequence[Layer], points: Sequence[tuple[int, int]]
) -> tuple[Tensor, list[list[AttentionMap]]]:
    """Generate one image and record attention maps in its forward pass.

    Args:
        generator: The network.
        w_plus: Codes of one image, `[1, L, latent_dim]`.
        layers: Blocks to record.
        points: Query pixels of the image, (from the left, from the top).

    Returns:
        The image `[1, 3, size, size]` in the network's pixel range; and a list per (point, layer), point by point, of
        one map per group of heads.
    """
    cells = [(layer, point) for point in points for layer in layers]
    recorded: list[list[AttentionMap]] = [[] for _ in cells]
    with ExitStack() as hooks:
        for (layer, (x, y)), maps in zip(cells, recorded, strict=True):
            row, column = (place * layer.resolution // generator.resolution for place in (y, x))
            hook = partial(_record, maps, layer, row, column)
            hooks.callback(_block(generator, layer).register_forward_pre_hook(hook).remove)
        image = generator.synthesise(w_plus)
    return image, recorded


def _block(generator: Generator, layer: Layer) -> Block:
    level = generator.levels[layer.resolution.bit_length() - 3]
    assert isinstance(level, Level)
    block = level.blocks[layer.block - 1]
    assert isinstance(block, Block)
    return block


def _record(
    maps: list[AttentionMap], layer: Layer, row: int, column: int, block: Block, given: tuple[Tensor, Tensor]
) -> None:
    """Forward pre-hook: append the maps of one position, one per group of heads, from the inputs of the block."""
    attention = block.attention
    assert isinstance(attention, GroupedAttention)
    for attend, qkv in attention.groups_with_qkv(block.norm1(*given)):
        weights = attend.weights_of(qkv, row, column)[0].float().mean(dim=0).cpu()
        first = len(maps) * attend.heads + 1
        heads = (first, first + attend.heads - 1)
        maps.append(AttentionMap(layer, heads, attend.side, attend.shift, row, column, weights))

"""Token mixers: what exchanges information between the positions of a map in G's blocks (MetaFormer, Yu et al., 2022).

A mixer is a row of `MIXERS`, with its module and its cost. `model.mixer` chooses one for each resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from swincli.model.blocks.attention import GroupedAttention
from swincli.model.mixers import (
    axial,
    convolution,
    floors,
    gated_convolution,
    grid,
    kv2,
    latent,
    neighbourhood,
    strided,
)
from swincli.recipe.networks import ModelSection

ON_SMALL_MAPS = "double"
"""Mixer of maps that are too small for the chosen one. With windows of 8 and more, a window is then the whole map; with
`window = 4`, a map of 8 px has four."""


@dataclass(frozen=True)
class Mixer:
    """A token mixer.

    The module maps `[B, H, W, C] -> [B, H, W, C]`. Its input is the normalised map; the block adds the result to the
    map. If it has a method `add_tiled` as that of `GroupedAttention`, the CPU takes it where autograd is off.

    Attributes:
        build: The module from the recipe's [model] section, the side of the map, its channels and the index of the
            block at its resolution.
        multiply_adds: Multiply-adds (MACs) for one image, from the [model] section and the side of the map: matrix
            products and convolutions, as `swincli doctor` counts them.
        smallest: Smallest side of a map that it mixes. Smaller maps have double attention.
        largest: Largest side of a map that it can mix, if there is a limit.
        is_floor: Whether it only shows how little mixing a network can do with; `swincli doctor --mixers` then does not
            choose it.
        takes_w: Whether the module's `forward` and `add_tiled` also take w, `[B, latent_dim]`, as the last argument.
        blocks_differ: Whether the first block of a resolution is without what the mixer adds to double attention.
    """

    build: Callable[[ModelSection, int, int, int], nn.Module]
    multiply_adds: Callable[[ModelSection, int], int]
    smallest: int = 16
    largest: int | None = None
    takes_w: bool = False
    blocks_differ: bool = False
    is_floor: bool = False

    def works_at(self, resolution: int) -> bool:
        """Whether it mixes maps of this side."""
        return resolution >= self.smallest and (self.largest is None or resolution <= self.largest)


def _windows(kind: str) -> Callable[[ModelSection, int, int, int], nn.Module]:
    def build(config: ModelSection, resolution: int, channels: int, index: int) -> nn.Module:
        return GroupedAttention(
            channels,
            config.kept_heads_at(resolution),
            side=config.window_at(resolution),
            resolution=resolution,
            kind=kind,
            block=index,
            relative_bias=config.relative_bias,
            bias_init=config.bias_init,
            score_mask=config.score_mask,
            kv_heads=_kv_heads(config, resolution),
            head_dim=channels // config.heads_at(resolution),
        )

    return build


def _kv_heads(config: ModelSection, resolution: int) -> int:
    return min(config.kv_heads_at(resolution), config.kept_heads_at(resolution))


def _of_windows(config: ModelSection, resolution: int) -> int:
    """q, k, v and output projections, and the products of each position with all of its window."""
    channels, window = config.width_at(resolution), config.window_at(resolution)
    dim = channels // config.heads_at(resolution)
    inner, keys = config.kept_heads_at(resolution) * dim, 2 * _kv_heads(config, resolution) * dim
    return resolution**2 * (2 * channels * inner + channels * keys + 2 * window**2 * inner)


def _with_latents(assign: str) -> Mixer:
    """Double attention with latents, by how they read the pixels."""

    def build(config: ModelSection, resolution: int, channels: int, index: int) -> nn.Module:
        return latent.build(config, resolution, channels, index, assign)

    def multiply_adds(config: ModelSection, resolution: int) -> int:
        return _of_windows(config, resolution) + latent.added_multiply_adds(config, resolution)

    return Mixer(build, multiply_adds, takes_w=True, blocks_differ=True)


MIXERS: dict[str, Mixer] = {
    "double": Mixer(_windows("double"), _of_windows, smallest=4),
    "single": Mixer(_windows("single"), _of_windows, smallest=4),
    "grid": Mixer(grid.build, grid.multiply_adds),
    "na": Mixer(neighbourhood.build, neighbourhood.multiply_adds, smallest=neighbourhood.SMALLEST),
    "na-all": Mixer(neighbourhood.build, neighbourhood.multiply_adds, smallest=neighbourhood.SMALLEST),
    "dw7": Mixer(convolution.dw7, convolution.of_dw7),
    "dw7+1x1": Mixer(convolution.dw7_pointwise, convolution.of_dw7_pointwise),
    "sepconv": Mixer(convolution.sepconv, convolution.of_sepconv),
    "gnconv2": Mixer(gated_convolution.build_of(2), gated_convolution.multiply_adds_of(2)),
    "gnconv3": Mixer(gated_convolution.build_of(3), gated_convolution.multiply_adds_of(3)),
    "pool": Mixer(lambda *_: floors.PoolMixer(), lambda *_: 0, is_floor=True),
    "identity": Mixer(lambda *_: floors.IdentityMixer(), lambda *_: 0, is_floor=True),
    "random": Mixer(lambda _, side, *others: floors.RandomMixer(side), floors.of_random, is_floor=True),  # noqa: ARG005
    "kv2": Mixer(kv2.build, kv2.multiply_adds),
    "strided": Mixer(strided.build, strided.multiply_adds),
    "axial": Mixer(axial.build, axial.multiply_adds, largest=axial.LARGEST),
    "latent": _with_latents("softmax"),
    "latent-kmeans": _with_latents("kmeans-soft"),
}
"""Token mixers by their names in recipes."""


def mixer_at(config: ModelSection, resolution: int) -> Mixer:
    """The mixer of a resolution: the recipe's, or double attention if the map is too small for that.

    Where a window is the whole map, as at 4 px and, but for `window = 4`, at 8 px, that is full attention.
    """
    mixer = MIXERS[config.mixer_at(resolution)]
    return mixer if resolution >= mixer.smallest else MIXERS[ON_SMALL_MAPS]


def mixers_with(config: ModelSection, chosen: dict[int, str]) -> dict[str, str]:
    """The table `model.mixer` of a network with these mixers at these resolutions, and its own at all others."""
    return {str(side): chosen.get(side, config.mixer_at(side)) for side in config.resolutions}


def has_windows(config: ModelSection, resolution: int) -> bool:
    """Whether the blocks of a resolution have window attention, whose attention maps can be shown."""
    return mixer_at(config, resolution).multiply_adds is _of_windows

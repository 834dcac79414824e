"""Multiply-adds of the default networks, as formulas of the [model] section.

A FLOP counter only sees operations that it knows. These formulas follow the definition of the networks and do not
depend on the implementation. Counted: linear layers, both products of attention, convolutions, FIR filters (16 taps per
output). Not counted: element-wise operations, norms, sums of the Haar wavelet, matrix-vector products of spectral norm.
"""

from __future__ import annotations

import itertools

from swincli.recipe.schema import ModelSection

FIR_TAPS = 16
COLOURS = 3
BANDS = 4
LAST_SIDE = 4
G_FORWARDS, D_FORWARDS = 4, 8
"""Cost of a training step without R1, in forwards of one image; a backward costs two forwards.

G: one forward in D's phase, one forward and one backward in its own phase (4). D: forward and backward of fakes and of
reals in its own phase (6); in G's phase one forward, and a backward to the image only (2).
"""


def generator_multiply_adds(config: ModelSection) -> int:
    """Multiply-adds of G for one image, from z to pixels."""
    levels = sum(level_multiply_adds(config, side) for side in config.resolutions)
    return config.mapping_layers * config.latent_dim**2 + levels


def level_multiply_adds(config: ModelSection, side: int) -> int:
    """Multiply-adds of a level of G: two blocks, the linear layer after doubling, tRGB."""
    channels = config.channels("g")
    width, following = channels[side], channels.get(2 * side)
    blocks = 2 * block_multiply_adds(config, side, width)
    if following is None:
        return blocks + to_rgb_multiply_adds(side, width, doubled=False)
    doubling = (2 * side) ** 2 * width * following
    return blocks + doubling + to_rgb_multiply_adds(2 * side, following, doubled=side > LAST_SIDE)


def walk_bound(config: ModelSection, side: int) -> float:
    """Largest speed-up by reuse in a long walk whose codes move from a side up, by multiply-adds."""
    levels = {each: level_multiply_adds(config, each) for each in config.resolutions}
    return sum(levels.values()) / sum(cost for each, cost in levels.items() if each >= side)


def block_multiply_adds(config: ModelSection, side: int, width: int) -> int:
    """Multiply-adds of one block: two styles, q, k, v and output projection, window attention, MLP."""
    pixels = side**2
    styles = 2 * config.latent_dim * 2 * width
    linear = pixels * width * (3 * width + width + 2 * config.hidden_at(side))
    return styles + linear + pixels * attention_multiply_adds(config, side, width)


def attention_multiply_adds(config: ModelSection, side: int, width: int) -> int:
    """Multiply-adds of one pixel's attention: `q k^T` with every position of its window, then the weighted sum of v."""
    window = config.window_at(side)
    return 2 * window**2 * width


def to_rgb_multiply_adds(side: int, width: int, *, doubled: bool) -> int:
    """Multiply-adds of tRGB, and of the filter that upsamples the skip image if there is one."""
    return side**2 * COLOURS * (width + (FIR_TAPS if doubled else 0))


def discriminator_multiply_adds(config: ModelSection) -> int:
    """Multiply-adds of D for one image, from pixels to the logit."""
    channels = config.channels("d")
    sides = config.resolutions[:-1][::-1]
    widths = [channels[config.size]] + [channels[side] for side in sides[1:]]
    total = sum(side**2 * BANDS * COLOURS * width for side, width in zip(sides, widths, strict=True))
    total += sum((2 * side) ** 2 * COLOURS * FIR_TAPS for side in sides[1:])  # the downsampled image
    for side, (inputs, outputs) in zip(sides, itertools.pairwise(widths), strict=False):
        total += side**2 * 9 * inputs**2
        total += (side + 1) ** 2 * FIR_TAPS * inputs  # the blur before the convolution of stride 2
        total += (side // 2) ** 2 * 9 * inputs * outputs
    width, pixels = widths[-1], LAST_SIDE**2
    return total + pixels * 9 * (width + 1) * width + pixels * width**2 + width


def step_flops(config: ModelSection, batch: int) -> float:
    """FLOPs of a training step without R1 and bCR."""
    forwards = G_FORWARDS * generator_multiply_adds(config) + D_FORWARDS * discriminator_multiply_adds(config)
    return 2.0 * batch * forwards

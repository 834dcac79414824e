"""Multiply-adds of the networks of the default variant, written out as formulas of the [model] section.

A flop counter sees only the operations that it knows; these formulas say what the networks' definition asks for,
however it is computed. Counted are linear layers, both products of attention, convolutions and FIR filters (16 taps an
output); element-wise work, norms, Haar's sums and spectral norm's matrix-vector products are not.
"""

from __future__ import annotations

import itertools

from swincli.recipe.schema import ModelSection

FIR_TAPS = 16
COLOURS = 3
BANDS = 4
LAST_SIDE = 4
G_FORWARDS, D_FORWARDS = 4, 8
"""What a training step without R1 comes to, in forwards of an image: a backward costs two.

G: one forward in D's phase, and a forward and a backward in its own. D: a forward and a backward of fakes and of reals
in its own phase (6); in G's a forward, and a backward to the image alone (2).
"""


def generator_multiply_adds(config: ModelSection) -> int:
    """Of one image, from z to pixels."""
    channels = config.channels("g")
    total = config.mapping_layers * config.latent_dim**2
    for side, width in channels.items():
        total += 2 * block_multiply_adds(config, side, width)
        following = channels.get(2 * side)
        if following is not None:
            total += (2 * side) ** 2 * width * following  # the linear layer after doubling
            total += to_rgb_multiply_adds(2 * side, following, doubled=side > LAST_SIDE)
        else:
            total += to_rgb_multiply_adds(side, width, doubled=False)
    return total


def block_multiply_adds(config: ModelSection, side: int, width: int) -> int:
    """Of one block: two styles, q, k, v and their projection, attention in windows, and the MLP."""
    pixels = side**2
    styles = 2 * config.latent_dim * 2 * width
    linear = pixels * width * (3 * width + width + 2 * config.mlp_ratio * width)
    return styles + linear + pixels * attention_multiply_adds(config, side, width)


def attention_multiply_adds(config: ModelSection, side: int, width: int) -> int:
    """Of one pixel's attention: with every position of its window `q k^T`, then the sum of v by their weights."""
    window = LAST_SIDE if side == LAST_SIDE else min(config.window, side)
    return 2 * window**2 * width


def to_rgb_multiply_adds(side: int, width: int, *, doubled: bool) -> int:
    """Of tRGB, and of the filter that doubles the image so far, where there is one."""
    return side**2 * COLOURS * (width + (FIR_TAPS if doubled else 0))


def discriminator_multiply_adds(config: ModelSection) -> int:
    """Of one image, from pixels to its logit."""
    channels = config.channels("d")
    sides = config.resolutions[:-1][::-1]
    widths = [channels[config.size]] + [channels[side] for side in sides[1:]]
    total = sum(side**2 * BANDS * COLOURS * width for side, width in zip(sides, widths, strict=True))
    total += sum((2 * side) ** 2 * COLOURS * FIR_TAPS for side in sides[1:])  # the image, made smaller
    for side, (inputs, outputs) in zip(sides, itertools.pairwise(widths), strict=False):
        total += side**2 * 9 * inputs**2
        total += (side + 1) ** 2 * FIR_TAPS * inputs  # the blur before the convolution of stride 2
        total += (side // 2) ** 2 * 9 * inputs * outputs
    width, pixels = widths[-1], LAST_SIDE**2
    return total + pixels * 9 * (width + 1) * width + pixels * width**2 + width


def step_flops(config: ModelSection, batch: int) -> float:
    """Floating-point operations of a training step without R1 and bCR."""
    forwards = G_FORWARDS * generator_multiply_adds(config) + D_FORWARDS * discriminator_multiply_adds(config)
    return 2.0 * batch * forwards

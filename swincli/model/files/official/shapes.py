"""The dimensions of the release's networks, from the shapes of their weights.

Every dimension occurs in several weights, and the most frequent value is used. So one missing or misshapen weight does
not change the result, and the check that follows names that weight only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import product
from typing import Any

from swincli.recipe.schema import ModelSection

Shapes = dict[str, tuple[int, ...]]
MOST_LEVELS = 9  # 4 to 1024 px
DEFAULTS = ModelSection()
WINDOWS = (4, 8, 16)


def generator_section(shapes: Shapes) -> dict[str, Any]:
    """The [model] keys that the release's G determines; empty if it is not a StyleSwin generator."""
    levels = _levels(shapes)
    widths = {4 << level: _width(shapes, level) for level in range(levels)}
    if levels < 3 or 0 in widths.values():
        return {}
    size = 4 << (levels - 1)
    heads = [_heads(shapes, level) for level in range(levels)]
    section = {
        "size": size,
        "latent_dim": _common(_latent_dims(shapes), DEFAULTS.latent_dim),
        "mapping_layers": _count(shapes, "style.{}", first=1),
        "window": _window(shapes, levels),
        "mlp_ratio": max(1, _common(_hidden_widths(shapes), 0) // widths[4]),
    }
    return section | _mixer(shapes, levels) | _head_rule(list(widths.values()), heads) | _channels("g", widths, size)


def discriminator_section(shapes: Shapes, size: int) -> dict[str, Any]:
    """The [model] keys that the release's D determines; empty if it is not a D of this size."""
    spectral = any(key.endswith("weight_orig") for key in shapes)
    weight = "weight_orig" if spectral else "weight"
    scales = size.bit_length() - 3
    widths = {}
    for scale in range(scales):
        side = size if scale == 0 else size >> (scale + 1)  # the scale at size/2 has the channels of the full size
        readings = [
            _dim(shapes, f"from_rgbs.{scale}.conv.0.{weight}", 0),
            _dim(shapes, f"from_rgbs.{scale}.conv.1.bias", 0),
            _dim(shapes, f"convs.{scale}.conv1.1.bias", 0),
            _dim(shapes, f"convs.{scale - 1}.conv2.2.bias", 0),
        ]
        widths[side] = _common(readings, 0)
    if 0 in widths.values():
        return {}
    return {"spectral_norm": spectral} | _channels("d", widths, size)


def _levels(shapes: Shapes) -> int:
    """Number of resolutions of G: a level counts if most of its weights exist."""
    found = Counter(".".join(key.split(".")[:2]) for key in shapes if key.startswith("layers."))
    return next((level for level in range(MOST_LEVELS + 1) if found[f"layers.{level}"] < 10), MOST_LEVELS + 1)


def _width(shapes: Shapes, level: int) -> int:
    ends = (("qkv.weight", 1), ("proj.weight", 0), ("proj.bias", 0), ("mlp.fc1.weight", 1), ("mlp.fc2.bias", 0))
    return _common((_dim(shapes, f"{block}.{end}", axis) for block in _blocks(level) for end, axis in ends), 0)


def _latent_dims(shapes: Shapes) -> Iterator[int | None]:
    for key, shape in shapes.items():
        if key.startswith("style.") and key.endswith(".bias"):
            yield shape[0] if shape else None
    for block in _blocks(0):
        yield _dim(shapes, f"{block}.norm1.style.weight", 1)


def _hidden_widths(shapes: Shapes) -> Iterator[int | None]:
    for block in _blocks(0):
        yield _dim(shapes, f"{block}.mlp.fc1.weight", 0)
        yield _dim(shapes, f"{block}.mlp.fc1.bias", 0)
        yield _dim(shapes, f"{block}.mlp.fc2.weight", 1)


def _tables(shapes: Shapes, level: int, axis: int) -> Iterator[int | None]:
    for block, half in product(_blocks(level), range(2)):
        yield _dim(shapes, f"{block}.attn.{half}.relative_position_bias_table", axis)


def _heads(shapes: Shapes, level: int) -> int:
    """Heads of both halves of double attention, or of all groups of neighbourhood attention."""
    groups = _groups(shapes, level)
    of_groups = (_common((_dim(shapes, key, 0) for key in same), 0) for same in groups)
    return sum(of_groups) if groups else _common(_tables(shapes, level, axis=1), 0) * 2


def _groups(shapes: Shapes, level: int) -> list[list[str]]:
    """The tables of neighbourhood attention, those of equal groups of all blocks together; empty without any."""
    numbers = range(_consecutive(shapes, f"layers.{level}.blocks.0.attn.rpb.{{}}", first=0))
    return [[f"{block}.attn.rpb.{number}" for block in _blocks(level)] for number in numbers]


def _mixer(shapes: Shapes, levels: int) -> dict[str, Any]:
    """The mixer, if it is not double attention: StyleNAT's with two dilations at a level, or with a growing number."""
    counts = [len(_groups(shapes, level)) for level in range(2, levels)]
    return {} if 0 in counts else {"mixer": "na" if max(counts) <= 2 else "na-all"}


def _window(shapes: Shapes, levels: int) -> int:
    near = [_common((_dim(shapes, key, 1) for key in same), 0) for same in _groups(shapes, levels - 1)]
    rows = (near[0] + 2) ** 2 if near else _common(_tables(shapes, levels - 1, axis=0), 0)  # k = side - 1
    side = (math.isqrt(rows) + 1) // 2
    return side if side in WINDOWS else DEFAULTS.window_at(DEFAULTS.size)


def _blocks(level: int) -> Iterator[str]:
    return (f"layers.{level}.blocks.{block}" for block in range(2))


def _count(shapes: Shapes, pattern: str, first: int) -> int:
    """Number of consecutive modules with a numbered name, starting at `first`; at least one."""
    return max(1, _consecutive({key.rpartition(".")[0] for key in shapes}, pattern, first))


def _consecutive(names: Collection[str], pattern: str, first: int) -> int:
    number = first
    while pattern.format(number) in names:
        number += 1
    return number - first


def _head_rule(widths: list[int], heads: list[int]) -> dict[str, int]:
    """`head_dim` and `min_heads` that give the heads of all levels; the defaults if no values do."""
    fewest = sorted({DEFAULTS.min_heads, 2, *heads}, key=lambda count: count != DEFAULTS.min_heads)
    dims = [DEFAULTS.head_dim, *(width // count for width, count in zip(widths, heads, strict=True) if count)]
    for head_dim, min_heads in product(dims, fewest):
        if head_dim and min_heads and [max(width // head_dim, min_heads) for width in widths] == heads:
            return {"head_dim": head_dim, "min_heads": min_heads}
    return {"head_dim": DEFAULTS.head_dim, "min_heads": DEFAULTS.min_heads}


def _channels(network: str, widths: dict[int, int], size: int) -> dict[str, Any]:
    """Channels as width and multiplier if they follow the rule, else as a list.

    The rule: above 32 px, the width halves with every doubling of the side, and is multiplied by the multiplier. At up
    to 32 px the multiplier has no effect. D has no layer at half the size.
    """
    width = widths[4]
    wide = {side: width * 32 // side for side in widths if side > 32}
    multiplier = max(1, widths[size] // max(wide[size], 1)) if wide else DEFAULTS.g_multiplier
    ruled = {side: width if side <= 32 else wide[side] * multiplier for side in widths}
    if ruled == widths:
        return {f"{network}_width": width, f"{network}_multiplier": multiplier}
    sides = [4 << level for level in range(size.bit_length() - 2)]
    return {f"{network}_channels": [widths.get(side, widths[size]) for side in sides]}


def _dim(shapes: Shapes, key: str, axis: int) -> int | None:
    shape = shapes.get(key, ())
    return shape[axis] if axis < len(shape) else None


def _common(readings: Iterable[int | None], otherwise: int) -> int:
    counts = Counter(reading for reading in readings if reading)
    return counts.most_common(1)[0][0] if counts else otherwise

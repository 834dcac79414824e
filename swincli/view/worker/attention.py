"""Where the attention of a pixel looks, as numbers that the page draws."""

from __future__ import annotations

import base64
from typing import Any

import torch

from swincli.errors import UsageError
from swincli.model.mixers.registry import has_windows
from swincli.recipe.schema import ModelSection
from swincli.synthesis.attention_maps import (
    BLOCKS,
    AttentionMap,
    Layer,
    default_layers,
    parse_layers,
    parse_point,
    record_attention,
)
from swincli.synthesis.figures.attention import heat_values
from swincli.view.look import Look
from swincli.view.worker.studio import Studio


def attention_layers(section: ModelSection) -> dict[str, Any]:
    """Layers with window attention, such as "16.2", and the one to begin with (None without any)."""
    sides = [side for side in section.resolutions if has_windows(section, side)]
    first = default_layers(section)[-1:] if sides else []
    return {
        "layers": [_spell(Layer(side, block)) for side in sides for block in range(1, BLOCKS + 1)],
        "first": _spell(first[0]) if first else None,
    }


def attention(studio: Studio, look: Look, layer: str, point: tuple[int, int]) -> dict[str, Any]:
    """Attention maps of a pixel, one per group of heads.

    Each has "heads", "side" and "shift" of its windows, "window" (left, top, right, bottom in positions), "weights",
    `resolution x resolution` bytes in base64 (the square root of the share of the largest weight), and "highest".

    Raises:
        UsageError: the model has no such layer, or no attention there; or the point is outside the picture.
    """
    section = studio.model.recipe.model
    if not attention_layers(section)["layers"]:
        raise UsageError("this model has no window attention, so there is nothing to look at")
    layers = parse_layers(layer, section)[:1]
    place = parse_point(f"{point[0]},{point[1]}", section.size)
    _, recorded = record_attention(studio.model.generator, studio.w_plus(look), layers, [place])
    maps = recorded[0]
    highest = max(float(one.weights.max()) for one in maps)
    return {
        "layer": _spell(layers[0]),
        "resolution": layers[0].resolution,
        "point": list(place),
        "maps": [_as_numbers(one, highest) for one in maps],
    }


def _as_numbers(one: AttentionMap, highest: float) -> dict[str, Any]:
    shares = heat_values((one.weights.double() / highest).numpy())
    return {
        "heads": list(one.heads),
        "side": one.side,
        "shift": one.shift,
        "window": list(one.window),
        "highest": float(one.weights.max()),
        "weights": base64.b64encode(torch.from_numpy(shares * 255).round().byte().numpy().tobytes()).decode(),
    }


def _spell(layer: Layer) -> str:
    return f"{layer.resolution}.{layer.block}"

"""The difference of two [model] sections: keys that make the networks differ."""

from __future__ import annotations

from typing import Literal

from swincli.recipe.networks import PADDED_MIXERS
from swincli.recipe.schema import ModelSection

WIDTH_KEYS: dict[Literal["g", "d"], set[str]] = {
    network: {f"{network}_{kind}" for kind in ("width", "multiplier", "channels")} for network in ("g", "d")
}
BY_RESOLUTION = (
    "heads",
    "kv_heads",
    "kept_heads",
    "window",
    "mlp_ratio",
    "mlp_hidden",
    "mixer",
)  # keys that may be tables
START_KEYS = {"adain_gamma", "bias_init"}  # only used for initialisation
FEATURE_KEYS = {"features", "feature_heads", "features_side"}  # of a D that looks at frozen features
DISCRIMINATOR_KEYS = WIDTH_KEYS["d"] | {"discriminator", "spectral_norm", "wavelet", "std_group"} | FEATURE_KEYS


def differing_keys(one: ModelSection, other: ModelSection, *, discriminator: bool = True) -> list[str]:
    """Keys whose values give different networks. Keys that spell the same channels, or the same
    values by resolution, in two ways do not count.

    Args:
        one: A model section.
        other: Another model section.
        discriminator: Compare D as well as G.
    """
    keys = [key for key in ModelSection.model_fields if getattr(one, key) != getattr(other, key)]
    same = set(START_KEYS) if discriminator else START_KEYS | DISCRIMINATOR_KEYS
    for network, names in WIDTH_KEYS.items():
        if _widths(one, other.size, network) == _widths(other, one.size, network):
            same |= names
    sides = [side for side in one.resolutions if side <= other.size]
    same |= {
        key for key in BY_RESOLUTION if all(one.value_at(key, side) == other.value_at(key, side) for side in sides)
    }
    if all(one.mixer_at(side) == other.mixer_at(side) for side in sides):
        same |= {"mixer", "attention"}
    if all(one.kv_heads_at(side) == other.kv_heads_at(side) for side in sides):
        same |= {"kv_heads"}
    if all(one.kept_heads_at(side) == other.kept_heads_at(side) for side in sides):
        same |= {"kept_heads"}
    if all(one.hidden_at(side) == other.hidden_at(side) for side in sides):
        same |= {"mlp_ratio", "mlp_hidden"}
    if not any(section.mixer_at(side) in PADDED_MIXERS for section in (one, other) for side in sides):
        same |= {"mixer_padding"}
    return [key for key in keys if key not in same]


def _widths(section: ModelSection, other_size: int, network: Literal["g", "d"]) -> dict[int, int]:
    """Channels at the sides that both networks have. D has no layer at half its size."""
    unused = {section.size // 2, other_size // 2} if network == "d" else set()
    widths = section.channels(network)
    return {side: width for side, width in widths.items() if side <= other_size and side not in unused}

"""Which keys of two [model] sections make networks differ."""

from __future__ import annotations

from typing import Literal

from swincli.recipe.schema import ModelSection

WIDTH_KEYS: dict[Literal["g", "d"], set[str]] = {
    network: {f"{network}_{kind}" for kind in ("width", "multiplier", "channels")} for network in ("g", "d")
}
START_KEYS = {"adain_gamma"}  # where training starts from; trained weights know nothing of it
DISCRIMINATOR_KEYS = WIDTH_KEYS["d"] | {"discriminator", "spectral_norm", "wavelet"}


def differing_keys(one: ModelSection, other: ModelSection, *, discriminator: bool = True) -> list[str]:
    """Keys in which the networks differ, without those that are two ways of saying the same.

    Args:
        one: A model section.
        other: Another.
        discriminator: Compare D as well as G.
    """
    keys = [key for key in ModelSection.model_fields if getattr(one, key) != getattr(other, key)]
    same = set(START_KEYS) if discriminator else START_KEYS | DISCRIMINATOR_KEYS
    for network, names in WIDTH_KEYS.items():
        if _widths(one, other.size, network) == _widths(other, one.size, network):
            same |= names
    return [key for key in keys if key not in same]


def _widths(section: ModelSection, other_size: int, network: Literal["g", "d"]) -> dict[int, int]:
    """Channels at the sides that two networks share; D has no layer of half its size."""
    unused = {section.size // 2, other_size // 2} if network == "d" else set()
    widths = section.channels(network)
    return {side: width for side, width in widths.items() if side <= other_size and side not in unused}

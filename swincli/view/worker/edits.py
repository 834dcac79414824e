"""Directions that the page has sliders for. A family of directions is a row of `FAMILIES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from swincli.errors import SwincliError, UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.figures.sweeps import NAMES, STEP_UNITS
from swincli.synthesis.latents.directions import METHODS, Directions
from swincli.synthesis.latents.layer_ranges import parse_code_layers
from swincli.view.look import Edit
from swincli.view.worker.saved_directions import SavedDirections

MOST_LISTED = 32  # sliders of a family


class FoundDirections:
    """The directions of a model by method and layers, each computed once, and those that were saved with a name.

    Attributes:
        model: The model.
        saved: Its directions with names.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.saved = SavedDirections(model)
        self._found: dict[tuple[str, tuple[int, ...]], Directions] = {}

    def get(self, method: str, layers: Sequence[int]) -> Directions:
        """The directions of a row of `METHODS`.

        Raises:
            UsageError: no layer of the network takes w there.
        """
        key = method, tuple(layers)
        if key not in self._found:
            self._found[key] = METHODS[method](self.model, layers)
        return self._found[key]


@dataclass(frozen=True)
class Family:
    """Directions of one kind.

    Attributes:
        title: Heading of their sliders.
        unit: What a step of 1 is, in words.
        listed: The directions for sliders: name inside the family, label, share from 0 to 1 or None.
        step: A step of 1 along a direction, `[latent_dim]` or one a code, from its name and the codes of w+ that move.
        remark: A sentence about directions without a slider, or None.
    """

    title: str
    unit: str
    listed: Callable[[FoundDirections, Sequence[int]], list[tuple[str, str, float | None]]]
    step: Callable[[FoundDirections, str, Sequence[int]], Tensor]
    remark: Callable[[FoundDirections, Sequence[int]], str | None] = lambda _, __: None


def _by_method(method: str) -> Family:
    """The numbered directions of a row of `METHODS`, strongest first."""

    def listed(found: FoundDirections, layers: Sequence[int]) -> list[tuple[str, str, float | None]]:
        shares = found.get(method, layers).shares[:MOST_LISTED].tolist()
        return [(str(number), f"{NAMES[method]} {number}", share) for number, share in enumerate(shares)]

    def step(found: FoundDirections, name: str, layers: Sequence[int]) -> Tensor:
        known = found.get(method, layers)
        if not name.isdecimal() or int(name) >= len(known.vectors):
            raise UsageError(f"{method}:{name}: this model has no such direction")
        return known.vectors[int(name)] * known.units[int(name)]

    return Family(NAMES[method], STEP_UNITS[method], listed, step)


def _list_saved(found: FoundDirections, layers: Sequence[int]) -> list[tuple[str, str, float | None]]:
    found.saved.look_again()
    return [(name, name, None) for name in found.saved.names(layers)]


NAMED = "named"
FAMILIES: dict[str, Family] = {
    **{method: _by_method(method) for method in METHODS},
    NAMED: Family(
        "Named",
        "steps in standard deviations of w along it",
        _list_saved,
        lambda found, name, layers: found.saved.step(name, layers),
        lambda found, layers: found.saved.remark(layers),
    ),
}
"""Families by the first part of a direction's name."""


def list_directions(found: FoundDirections, layers: str) -> list[dict[str, Any]]:
    """All families with their directions, for the page: title, unit, and per direction name, label and share.

    A family that has no direction for these layers, or cannot show all, comes with the reason.

    Raises:
        UsageError: the model has no such layers.
    """
    codes, families = _codes(found.model, layers), []
    for name, family in FAMILIES.items():
        entry: dict[str, Any] = {"name": name, "title": family.title, "unit": family.unit, "reason": None}
        try:
            rows = family.listed(found, codes)
            entry["directions"] = [{"name": f"{name}:{row[0]}", "label": row[1], "share": row[2]} for row in rows]
            entry["reason"] = family.remark(found, codes)
        except SwincliError as error:
            entry |= {"directions": [], "reason": error.hint or error.message}
        families.append(entry)
    return families


def apply_edits(found: FoundDirections, w_plus: Tensor, edits: Sequence[Edit]) -> Tensor:
    """Move w+ `[N, L, latent_dim]` along directions, one edit after another.

    Raises:
        UsageError: the model has no such direction or layers.
    """
    for edit in edits:
        family, _, name = edit.direction.partition(":")
        if family not in FAMILIES:
            raise UsageError(f"{edit.direction}: unknown kind of direction", f"Known: {', '.join(FAMILIES)}.")
        layers = _codes(found.model, edit.layers)
        step = FAMILIES[family].step(found, name, layers).to(w_plus)
        w_plus = w_plus.clone()
        w_plus[:, layers] += edit.amount * step
    return w_plus


def _codes(model: Model, layers: str) -> list[int]:
    try:
        return parse_code_layers(layers, model.recipe.model.num_ws)
    except ValueError as error:
        raise UsageError(f"layers {layers}: {error}") from None

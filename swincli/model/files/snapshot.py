"""Networks at one moment, whichever file they lie in: an original checkpoint, or a model that carries its training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from swincli.recipe import Recipe

Weights = dict[str, Tensor]
PARTS = ("g_ema", "g", "d", "g_optim", "d_optim")  # as the original release calls them
NETWORKS = {"generator": "generator", "discriminator": "d"}  # attribute -> prefix in a model file
OPTIMIZERS = ("g_optimizer", "d_optimizer")


@dataclass(frozen=True)
class AdamState:
    """What Adam remembers of one network.

    Attributes:
        moments: Our name of a parameter -> its `exp_avg`, `exp_avg_sq` (both of its shape) and `step` (float32, `[]`).
        order: Our names of all parameters in the order in which the original optimiser numbers them.
        settings: Its parameter group: rate, betas, eps and the like.
        whole_steps: The original file holds steps as integers, as older PyTorch did, and not as tensors.
    """

    moments: dict[str, dict[str, Tensor]]
    order: list[str]
    settings: dict[str, Any]
    whole_steps: bool = False

    @property
    def steps(self) -> int:
        """Steps taken, by the parameter that has taken the most."""
        return max((int(moment["step"]) for moment in self.moments.values()), default=0)


@dataclass(frozen=True)
class Snapshot:
    """Weights by our names; tensors may share memory with each other and with the file that they came from.

    Attributes:
        recipe: What they were trained with, as far as it is known; its model section is exact.
        images_seen: How far they were trained.
        average: EMA of G.
        generator: G as it is trained.
        discriminator: D, with spectral norm's vectors.
        g_optimizer, d_optimizer: Adam's states.
        arguments: The original release's command line.
    """

    recipe: Recipe
    images_seen: int
    average: Weights
    generator: Weights | None = None
    discriminator: Weights | None = None
    g_optimizer: AdamState | None = None
    d_optimizer: AdamState | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def parts(self) -> list[str]:
        """Which parts there are, as the original release calls them."""
        values = (self.average, self.generator, self.discriminator, self.g_optimizer, self.d_optimizer)
        return [name for name, value in zip(PARTS, values, strict=True) if value is not None]


def training_tensors(snapshot: Snapshot) -> Weights:
    """All but the average as tensors of a model file: `generator.*`, `d.*`, `g_optimizer.exp_avg.*` and so on."""
    tensors: Weights = {}
    for attribute, prefix in NETWORKS.items():
        for name, value in (getattr(snapshot, attribute) or {}).items():
            tensors[f"{prefix}.{name}"] = value
    for attribute in OPTIMIZERS:
        state: AdamState | None = getattr(snapshot, attribute)
        for name, moments in (state.moments if state else {}).items():
            for kind, value in moments.items():
                tensors[f"{attribute}.{kind}.{name}"] = value
    return tensors


def training_notes(snapshot: Snapshot) -> dict[str, Any]:
    """What `training_tensors` leaves out, as plain values: the optimisers' settings and the original's arguments."""
    notes: dict[str, Any] = {"arguments": snapshot.arguments}
    for attribute in OPTIMIZERS:
        state: AdamState | None = getattr(snapshot, attribute)
        if state is not None:
            notes[attribute] = {"order": state.order, "settings": state.settings, "whole_steps": state.whole_steps}
    return notes


def from_tensors(recipe: Recipe, images_seen: int, tensors: Weights, notes: dict[str, Any]) -> Snapshot:
    """The inverse of `training_tensors` and `training_notes`, with the average under `g.*`.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the notes are damaged.
    """
    networks = {attribute: _under(tensors, prefix) or None for attribute, prefix in NETWORKS.items()}
    optimizers = {name: _adam_state(_under(tensors, name), notes[name]) for name in OPTIMIZERS if name in notes}
    arguments = dict(notes.get("arguments", {}))
    return Snapshot(recipe, images_seen, _under(tensors, "g"), **networks, **optimizers, arguments=arguments)  # type: ignore[arg-type]


def _adam_state(tensors: Weights, notes: dict[str, Any]) -> AdamState:
    moments: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        moments.setdefault(name, {})[kind] = value
    return AdamState(moments, list(notes["order"]), dict(notes["settings"]), bool(notes["whole_steps"]))


def _under(tensors: Weights, prefix: str) -> Weights:
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def misfits(wanted: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> list[str]:
    """What keeps named shapes from being those wanted: names missing, names unknown, and other shapes; sorted."""
    problems = [f"missing {name}" for name in wanted.keys() - found.keys()]
    problems += [f"unknown {name}" for name in found.keys() - wanted.keys()]
    shared = wanted.keys() & found.keys()
    problems += [f"{name} is {found[name]}, not {wanted[name]}" for name in shared if found[name] != wanted[name]]
    return sorted(problems)

"""The contents of a full checkpoint, independent of its file format: networks, Adam states, recipe and progress.

It is read from and written to original `.pt` checkpoints and `.safetensors` models that include the training parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from swincli.errors import CheckpointError
from swincli.model.files.ancestry import Ancestors
from swincli.recipe import Recipe

Weights = dict[str, Tensor]
PARTS = ("g_ema", "g", "d", "g_optim", "d_optim")  # names in the original release
NETWORKS = {"generator": "generator", "discriminator": "d"}  # attribute -> prefix in a model file
OPTIMIZERS = ("g_optimizer", "d_optimizer")


@dataclass(frozen=True)
class AdamState:
    """Adam's state of one network.

    Attributes:
        moments: Our name of a parameter -> its `exp_avg`, `exp_avg_sq` (both of its shape) and `step` (float32, `[]`).
        order: Our names of all parameters, in the order in which the original optimiser numbers them.
        settings: The parameter group: learning rate, betas, eps and so on.
        whole_steps: The original file stores steps as integers, as older PyTorch did, instead of tensors.
    """

    moments: dict[str, dict[str, Tensor]]
    order: list[str]
    settings: dict[str, Any]
    whole_steps: bool = False

    @property
    def steps(self) -> int:
        """Steps taken; the maximum over the parameters."""
        return max((int(moment["step"]) for moment in self.moments.values()), default=0)


@dataclass(frozen=True)
class Snapshot:
    """Networks and optimisers at one moment of training; weights have our names.

    Tensors may share memory with each other and with the file that they were read from.

    Attributes:
        recipe: The training recipe as far as it is known; its [model] section is exact.
        images_seen: Images that the networks were trained for.
        average: EMA weights of G.
        generator: The trained weights of G.
        discriminator: Weights of D, including the vectors of spectral norm.
        g_optimizer, d_optimizer: Adam states.
        arguments: The command line of the original release.
        ancestors: The models that it was made from, the oldest first.
    """

    recipe: Recipe
    images_seen: int
    average: Weights
    generator: Weights | None = None
    discriminator: Weights | None = None
    g_optimizer: AdamState | None = None
    d_optimizer: AdamState | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    ancestors: Ancestors = ()

    @property
    def parts(self) -> list[str]:
        """Names of the parts that are present, as in the original release."""
        values = (self.average, self.generator, self.discriminator, self.g_optimizer, self.d_optimizer)
        return [name for name, value in zip(PARTS, values, strict=True) if value is not None]


def training_tensors(snapshot: Snapshot) -> Weights:
    """All but the EMA weights, as tensors of a model file: `generator.*`, `d.*`, `g_optimizer.exp_avg.*` and so on."""
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
    """The rest, as plain values for the metadata: the optimisers' settings and the release's arguments."""
    notes: dict[str, Any] = {"arguments": snapshot.arguments}
    for attribute in OPTIMIZERS:
        state: AdamState | None = getattr(snapshot, attribute)
        if state is not None:
            notes[attribute] = {"order": state.order, "settings": state.settings, "whole_steps": state.whole_steps}
    return notes


def from_tensors(recipe: Recipe, images_seen: int, tensors: Weights, notes: dict[str, Any]) -> Snapshot:
    """The inverse of `training_tensors` and `training_notes`; the EMA weights are under `g.*`.

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


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors by name."""
    return {name: tuple(value.shape) for name, value in tensors.items()}


def shape_mismatches(wanted: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> list[str]:
    """Differences of named shapes, sorted: missing names, unknown names, and other shapes."""
    problems = [f"missing {name}" for name in wanted.keys() - found.keys()]
    problems += [f"unknown {name}" for name in found.keys() - wanted.keys()]
    shared = wanted.keys() & found.keys()
    problems += [f"{name} is {found[name]}, not {wanted[name]}" for name in shared if found[name] != wanted[name]]
    return sorted(problems)


def require_shapes(wanted: dict[str, tuple[int, ...]], found: Mapping[str, Tensor], message: str) -> None:
    """Check that tensors have the names and shapes wanted.

    Raises:
        CheckpointError: they do not; it begins with `message` and lists every difference.
    """
    problems = shape_mismatches(wanted, shapes_of(found))
    if problems:
        raise CheckpointError("\n".join([message, *(f"  {problem}" for problem in problems)]))

"""The training state: networks, EMA, optimisers, images seen, running statistics; saved and restored exactly."""

from __future__ import annotations

import copy
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from swincli.errors import CheckpointError
from swincli.model.discriminators.frozen_features import looked_through
from swincli.model.discriminators.registry import make_discriminator
from swincli.model.files.ancestry import Ancestors, ancestry_note, read_ancestors
from swincli.model.files.attributes import Attributes
from swincli.model.files.classes import Classes
from swincli.model.generator import Generator
from swincli.recipe import Recipe, dump_recipe
from swincli.recipe.loading import parse_recipe
from swincli.system.atomic_files import write_atomically
from swincli.training.losses.added_modules import used_modules
from swincli.training.losses.memory import Memory
from swincli.training.losses.remembered import new_memory
from swincli.training.rng import derive
from swincli.training.run.overfitting import OverfittingSigns
from swincli.training.run.running_stats import RunningStats
from swincli.training.step.optimizers import load_optimizer, make_optimizers

FORMAT = "swincli-state-1"


@dataclass
class TrainingState:
    """Everything that a training step reads and changes.

    Attributes:
        recipe: The experiment.
        data_hash: Content hash of the training store.
        generator, discriminator: The networks in training mode.
        average: EMA of the generator.
        g_optimizer, d_optimizer: Adam.
        power: Power-function EMAs of the generator, one per width in `ema.power`.
        images_seen: Images shown so far.
        seconds: Seconds of training so far, over all sessions.
        running_stats: Statistics since the last line of stats.jsonl.
        memory: What losses and augmentation remember, such as the probability of transforms.
        signs: Signs of overfitting so far.
        classes: The classes of a model with classes, else None. Read from the store, not saved.
        attributes: The attributes of a model with attributes, else None. Read from the store, not saved.
        ancestors: The models that the run started from, the oldest first.
    """

    recipe: Recipe
    data_hash: str
    generator: Generator
    discriminator: nn.Module
    average: Generator
    g_optimizer: torch.optim.Adam
    d_optimizer: torch.optim.Adam
    power: list[Generator] = field(default_factory=list)
    images_seen: int = 0
    seconds: float = 0.0
    running_stats: RunningStats = field(default_factory=RunningStats)
    classes: Classes | None = None
    attributes: Attributes | None = None
    memory: Memory = field(default_factory=Memory)
    signs: OverfittingSigns = field(default_factory=OverfittingSigns)
    ancestors: Ancestors = ()


def make_networks(recipe: Recipe) -> tuple[Generator, nn.Module]:
    """New G and D of a run; D has the modules that its losses add."""
    generator, discriminator = Generator(recipe.model), make_discriminator(recipe.model)
    for name, module in used_modules(recipe).items():
        discriminator.add_module(name, module.build(recipe))
    return generator, discriminator


def build_state(recipe: Recipe, data_hash: str, device: torch.device) -> TrainingState:
    """A new training state; the weights depend on the recipe's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(recipe.train.seed, "weights").initial_seed())
        generator, discriminator = make_networks(recipe)
    generator, discriminator = generator.to(device), discriminator.to(device)
    average = copy.deepcopy(generator).eval()
    for network in (generator, discriminator, average):
        network.requires_grad_(False)
    optimizers = make_optimizers(generator, discriminator, recipe)
    power = [copy.deepcopy(average) for _ in recipe.ema.power]
    return TrainingState(
        recipe, data_hash, generator, discriminator, average, *optimizers, power, memory=new_memory(recipe, device)
    )


def has_finite_weights(network: nn.Module) -> bool:
    """Whether all parameters and buffers are finite; two launches on a GPU."""
    values = [value.detach() for value in network.state_dict().values() if value.is_floating_point()]
    return bool(torch.stack(torch._foreach_norm(values, float("inf"))).isfinite().all())  # the largest, or NaN


_NETWORKS = ("generator", "discriminator", "average")
_OPTIMIZERS = ("g_optimizer", "d_optimizer")


def state_content(state: TrainingState) -> dict[str, Any]:
    """The state as a dictionary of tensors and plain values, for `restore`; the tensors share memory with the state."""
    return {
        "format": FORMAT,
        "recipe": dump_recipe(state.recipe),
        "data_hash": state.data_hash,
        "images_seen": state.images_seen,
        "seconds": state.seconds,
        "window": state.running_stats.as_dict(),
        "signs": state.signs.as_dict(),
        **{part: getattr(state, part).state_dict() for part in _NETWORKS + _OPTIMIZERS},
        **({"memory": state.memory.state_dict()} if state.memory.values else {}),
        "power": [average.state_dict() for average in state.power],
        **ancestry_note(state.ancestors),
        **_backbone_note(state.recipe),
    }


def _backbone_note(recipe: Recipe) -> dict[str, str]:
    """The hash of the network that D looks through, whose weights are not part of the state."""
    weights = looked_through(recipe)
    return {} if weights is None else {"backbone": weights.sha256}


def save_state(path: Path, state: TrainingState) -> None:
    """Write a state file; it loads with `weights_only=True`.

    Raises:
        ResourceError: the file cannot be written.
    """
    content = state_content(state)
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def is_state(path: Path) -> bool:
    """Whether a file is a training state of any swincli version; tensors are not read."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # torch.load raises many classes of errors
        return False
    return isinstance(content, dict) and str(content.get("format", "")).startswith(FORMAT.rstrip("0123456789"))


def read_state(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a state file into plain values and tensors on the CPU.

    Args:
        path: The file.
        mapped: Memory-map the tensors instead of reading them.

    Raises:
        CheckpointError: the file is damaged or is not a training state of this version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch.load raises many classes of errors
        raise CheckpointError(f"{path}: damaged ({type(error).__name__})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a training state of this version")
    return content


def restore(state: TrainingState, content: dict[str, Any]) -> None:
    """Load the content of a state file into a built state with the same architecture.

    Raises:
        CheckpointError: the content does not fit.
    """
    try:
        for part in _NETWORKS:
            getattr(state, part).load_state_dict(content[part])
        for part in _OPTIMIZERS:
            load_optimizer(getattr(state, part), content[part])
        for average, weights in zip(state.power, content.get("power", []), strict=True):
            average.load_state_dict(weights)
        state.memory.load_state_dict(content.get("memory", {}))
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"the training state does not fit the recipe: {error}") from error
    state.images_seen = content["images_seen"]
    state.seconds = content["seconds"]
    state.running_stats = RunningStats.from_dict(content["window"])
    state.signs = OverfittingSigns(**content.get("signs", {}))
    state.ancestors = read_ancestors(content)


def check_backbone(content: dict[str, Any], path: Path) -> None:
    """Check that D looks through the weights that it was trained on; older states do not name them.

    Raises:
        CheckpointError: it was trained on others.
    """
    weights, found = looked_through(recipe_of(content, path)), content.get("backbone")
    if weights is not None and found not in (None, weights.sha256):
        raise CheckpointError(
            f"{path}: D was trained on features of other weights (sha256 {str(found)[:12]}...) than the "
            f"{weights.network} of this version ({weights.sha256[:12]}...)",
            "Resume the run with the version of swincli that wrote it, or start a new run with another --out.",
        )


def recipe_of(content: dict[str, Any], path: Path) -> Recipe:
    """The recipe in the content of a state file."""
    return parse_recipe(content["recipe"], f"{path}: its recipe")

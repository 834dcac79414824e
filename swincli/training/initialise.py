"""Starting a run from a checkpoint: an original one, or a model of ours with all that it carries."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import torch
from torch import nn

from swincli.console import Console
from swincli.errors import CheckpointError, RecipeError
from swincli.model.comparing import differing_keys
from swincli.model.snapshot import AdamState, Snapshot
from swincli.model.weights import find_checkpoint, read_snapshot
from swincli.recipe.schema import ModelSection
from swincli.training.state import TrainingState


def initialise(state: TrainingState, checkpoint: str, console: Console) -> None:
    """Take a new run's networks, moments and images seen from a checkpoint; rates and betas stay the recipe's.

    G is taken from the average where the checkpoint has no other; D and the moments start anew where it has none.

    Args:
        state: A run before its first step.
        checkpoint: What `train.init` says.
        console: Where what is missing is told.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        RecipeError: its networks differ from the recipe's, or it has seen all images that the recipe asks for.
    """
    path = find_checkpoint(checkpoint)
    snapshot = read_snapshot(path)
    _check(state, path, snapshot)
    state.average.load_state_dict(snapshot.average)
    state.generator.load_state_dict(snapshot.average if snapshot.generator is None else snapshot.generator)
    if snapshot.discriminator is not None:
        state.discriminator.load_state_dict(snapshot.discriminator)
    try:
        if snapshot.g_optimizer is not None:
            load_moments(state.g_optimizer, state.generator, snapshot.g_optimizer)
        if snapshot.d_optimizer is not None and snapshot.discriminator is not None:
            load_moments(state.d_optimizer, state.discriminator, snapshot.d_optimizer)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    state.images_seen = snapshot.images_seen
    console.say(f"starting from {path}, trained on {state.images_seen:,} images")
    anew = {"d": "D", "g_optim": "G's moments", "d_optim": "D's moments"}
    missing = [words for part, words in anew.items() if part not in snapshot.parts]
    if missing:
        console.warn(f"{path} does not hold {', '.join(missing)}: they start anew")


def load_moments(optimizer: torch.optim.Adam, network: nn.Module, state: AdamState) -> None:
    """Give an optimiser of a network's parameters the moments that are known by their names.

    Raises:
        ValueError: they are not those of the network's parameters.
    """
    content = optimizer.state_dict()
    for number, (name, parameter) in enumerate(network.named_parameters()):
        moments = state.moments.get(name)
        if moments is None:
            continue
        shapes = {kind: tuple(value.shape) for kind, value in moments.items()}
        if shapes != {"step": (), "exp_avg": tuple(parameter.shape), "exp_avg_sq": tuple(parameter.shape)}:
            raise ValueError(f"the moments of {name} are {shapes}, and the parameter {tuple(parameter.shape)}")
        content["state"][number] = {kind: value.clone() for kind, value in moments.items()}
    optimizer.load_state_dict(content)


def _check(state: TrainingState, path: Path, snapshot: Snapshot) -> None:
    now, then, total = state.recipe.model, snapshot.recipe.model, state.recipe.train.total
    keys = differing_keys(now, then, discriminator=snapshot.discriminator is not None)
    problems = [f"model.{key}: {_text(now, key)} here, {_text(then, key)} in {path}" for key in keys]
    hint = "Give the values of the checkpoint: " + " ".join(
        f"--set {shlex.quote(f'model.{key}={_text(then, key)}')}" for key in keys
    )
    if not problems and snapshot.images_seen >= total:
        problems = [f"train.total: {total:,} images, and {path} has seen {snapshot.images_seen:,}"]
        hint = "Raise train.total: it counts the images that the checkpoint has seen."
    if problems:
        raise RecipeError("train.init", problems, hint)


def _text(model: ModelSection, key: str) -> str:
    """A key's value as `--set` reads it."""
    return json.dumps(getattr(model, key))

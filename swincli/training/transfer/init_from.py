"""Starting a run from a checkpoint: going on where it was, or fine-tuning it on other images."""

from __future__ import annotations

import json
import shlex

import torch
from torch import nn

from swincli.console import Console
from swincli.errors import CheckpointError, RecipeError
from swincli.model.config_diff import differing_keys
from swincli.model.files.snapshot import AdamState, Weights
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.training.run.state import TrainingState
from swincli.training.transfer.checkpoint_sources import StartingPoint, read_starting_point
from swincli.training.transfer.matching_weights import take_over

FINE_TUNE = "fine-tune"
CHANGED_BY_FINE_TUNING = {"classes", "std_group"}  # keys of [model] in which the checkpoint may then differ


def initialise(state: TrainingState, checkpoint: str, console: Console) -> None:
    """Take a new run's networks from a checkpoint; rates and betas stay the recipe's.

    To continue takes the moments, the images seen and the power-function averages as well. To fine-tune
    (`train.init_mode`) counts images from 0 with new moments. G is taken from the average where the checkpoint has no
    other; what it does not hold starts anew, and is told.

    Args:
        state: A run before its first step.
        checkpoint: What `train.init` says.
        console: Where what is missing is told.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        RecipeError: its networks differ from the recipe's, it holds no D to freeze, or, to continue, it has seen all
            images that the recipe asks for.
    """
    start = read_starting_point(checkpoint, console)
    _check(state.recipe, start)
    _take_networks(state, start, console)
    console.say(_describe(state.recipe, start))
    missing = [] if start.snapshot.discriminator is not None else ["D"]
    if state.recipe.train.init_mode != FINE_TUNE:
        _take_progress(state, start)
        moments = {"g_optim": "G's moments", "d_optim": "D's moments"}
        missing += [words for part, words in moments.items() if part not in start.snapshot.parts]
    if missing:
        starts = "it starts" if missing == ["D"] else "they start"
        console.warn(f"{start.path} does not hold {', '.join(missing)}: {starts} anew")


def check_init(recipe: Recipe, console: Console) -> str | None:
    """See whether a run could start from the checkpoint that its recipe names, without building a run.

    Returns:
        What it would start from, in words; None where the recipe names no checkpoint.

    Raises:
        CheckpointError, RecipeError: as for `initialise`.
    """
    if recipe.train.init is None:
        return None
    start = read_starting_point(recipe.train.init, console, mapped=True)
    _check(recipe, start)
    return _describe(recipe, start)


def load_moments(optimizer: torch.optim.Adam, network: nn.Module, state: AdamState) -> None:
    """Give an optimiser the moments of the parameters that it moves; those that there are none for start anew.

    Args:
        optimizer: It moves all or some of the network's parameters.
        network: Knows their names.
        state: Moments by name.

    Raises:
        ValueError: they are not those of the network's parameters.
    """
    content = optimizer.state_dict()
    names = {parameter: name for name, parameter in network.named_parameters()}
    for number, parameter in enumerate(optimizer.param_groups[0]["params"]):
        moments = state.moments.get(names[parameter])
        if moments is None:
            continue
        shapes = {kind: tuple(value.shape) for kind, value in moments.items()}
        if shapes != {"step": (), "exp_avg": tuple(parameter.shape), "exp_avg_sq": tuple(parameter.shape)}:
            raise ValueError(
                f"the moments of {names[parameter]} are {shapes}, and the parameter {tuple(parameter.shape)}"
            )
        content["state"][number] = {kind: value.clone() for kind, value in moments.items()}
    optimizer.load_state_dict(content)


def _take_networks(state: TrainingState, start: StartingPoint, console: Console) -> None:
    """G, D and the average; of networks with other classes what fits, and the rest is told."""
    found = start.snapshot
    anew = [f"G's {part}" for part in take_over(state.average, found.average)]
    take_over(state.generator, found.average if found.generator is None else found.generator)
    if found.discriminator is not None:
        anew += [f"D's {part}" for part in take_over(state.discriminator, found.discriminator)]
    for average in state.power:  # until now G was this, as far as can be known
        average.load_state_dict(state.average.state_dict())
    if anew:
        console.say(
            f"{state.recipe.model.classes} classes here, {found.recipe.model.classes} in {start.path}: "
            f"{', '.join(anew)} start anew"
        )


def _take_progress(state: TrainingState, start: StartingPoint) -> None:
    """The images seen, the moments, and the power-function averages of the recipe's widths."""
    found = start.snapshot
    try:
        if found.g_optimizer is not None:
            load_moments(state.g_optimizer, state.generator, found.g_optimizer)
        if found.d_optimizer is not None and found.discriminator is not None:
            load_moments(state.d_optimizer, state.discriminator, found.d_optimizer)
    except ValueError as error:
        raise CheckpointError(f"{start.path}: {error}") from error
    for width, average in zip(state.recipe.ema.power, state.power, strict=True):
        weights: Weights | None = start.power.get(width)
        if weights is not None:
            average.load_state_dict(weights)
    state.images_seen = found.images_seen


def _describe(recipe: Recipe, start: StartingPoint) -> str:
    seen = start.snapshot.images_seen
    if recipe.train.init_mode == FINE_TUNE:
        return f"fine-tuning {start.path}, trained on {seen:,} images; from here they are counted from 0"
    return f"starting from {start.path}, trained on {seen:,} images"


def _check(recipe: Recipe, start: StartingPoint) -> None:
    found, train, tuning = start.snapshot, recipe.train, recipe.train.init_mode == FINE_TUNE
    now, then = recipe.model, found.recipe.model
    keys = differing_keys(now, then, discriminator=found.discriminator is not None)
    problems, hint = [], ""
    if tuning:
        keys = [key for key in keys if key not in CHANGED_BY_FINE_TUNING]
    if keys:
        problems = [f"model.{key}: {_text(now, key)} here, {_text(then, key)} in {start.path}" for key in keys]
        settings = " ".join(f"--set {shlex.quote(f'model.{key}={_text(then, key)}')}" for key in keys)
        hint = f"Give the values of the checkpoint: {settings}"
        if set(keys) <= CHANGED_BY_FINE_TUNING:
            hint += "; or fine-tune it to yours: --set train.init_mode=fine-tune"
    elif train.freeze_d and found.discriminator is None:
        problems = [f"train.freeze_d: is {train.freeze_d}, and {start.path} holds no D to freeze"]
        hint = "Set train.freeze_d=0, or start from a state, which holds D: a run folder or its state-*.pt."
    elif not tuning and found.images_seen >= train.total:
        problems = [f"train.total: {train.total:,} images, and {start.path} has seen {found.images_seen:,}"]
        hint = (
            "Raise train.total, which counts them; or fine-tune on other images from 0: --set train.init_mode=fine-tune"
        )
    if problems:
        raise RecipeError("train.init", problems, hint)


def _text(model: ModelSection, key: str) -> str:
    """A key's value as `--set` reads it."""
    return json.dumps(getattr(model, key))
